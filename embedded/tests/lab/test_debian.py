from __future__ import annotations

from pathlib import Path

import pytest

from embedded.lab import debian
from embedded.lab.debian import Source, parse_sources
from embedded.lab.errors import LabError

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main contrib

Enabled: no
Types: deb
URIs: http://mirror.test/off
Suites: bookworm
Components: main
"""


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("deb http://mirror.test/debian bookworm main contrib\n", [("http://mirror.test/debian", "bookworm")]),
        ("deb [arch=amd64 signed-by=/k] https://mirror.test/d stable main\n", [("https://mirror.test/d", "stable")]),
        ("# deb http://mirror.test/debian bookworm main\n", []),
        ("deb-src http://mirror.test/debian bookworm main\n", []),
        ("deb http://mirror.test/node nodistro other\n", []),
        (
            DEB822,
            [
                ("http://mirror.test/debian", "bookworm"),
                ("http://mirror.test/debian", "bookworm-updates"),
                ("http://mirror.test/debian-security", "bookworm-security"),
            ],
        ),
        ("", []),
    ],
)
def test_sources_are_read_in_both_forms(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_sources(text) == pairs


def test_mirror_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    debian.sources.cache_clear()
    monkeypatch.setenv("COZYSTACK_TALOS_DEBIAN_MIRROR", "http://mirror.test/debian")
    assert debian.sources() == (
        Source("http://mirror.test/debian", "trixie"),
        Source("http://mirror.test/debian", "trixie-updates"),
    )
    debian.sources.cache_clear()


def test_machine_without_debian_mirror_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    debian.sources.cache_clear()
    monkeypatch.delenv("COZYSTACK_TALOS_DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    with pytest.raises(LabError, match="no Debian mirror") as raised:
        debian.sources()
    assert "COZYSTACK_TALOS_DEBIAN_MIRROR" in raised.value.hint
    debian.sources.cache_clear()


def test_source_line_carries_components_and_options() -> None:
    source = Source("http://mirror.test/debian", "trixie")
    assert source.line() == "deb http://mirror.test/debian trixie main"
    assert source.line("main x", "[signed-by=/k] ") == "deb [signed-by=/k] http://mirror.test/debian trixie main x"
