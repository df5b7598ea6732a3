"""What changed between two builds that were signed: all but the time of signing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.report.diff import diff, render_diff
from ci.steps.inspect import main
from tests.unit.compare.test_signed import EARLY, FORMS, LATE
from tests.unit.inspect import signed_samples

if TYPE_CHECKING:
    from pathlib import Path

    from ci.report.diff import Difference

READ = [form for form in FORMS if form not in ("fat", "iso-with-partition")]


def compared(folder: Path, one: bytes, other: bytes) -> Difference:
    (folder / "one").write_bytes(one)
    (folder / "other").write_bytes(other)
    return diff(*(inspect_path(folder / name, name="file", unsigned=True) for name in ("one", "other")))


@pytest.mark.parametrize("form", READ)
def test_the_time_of_signing_is_no_change(form: str, tmp_path: Path) -> None:
    found = compared(tmp_path, FORMS[form](EARLY), FORMS[form](LATE))
    if form != "tar":  # whose files are listed, and not read
        assert found.changes == ()
    assert found.without_signature
    assert "compared without their signatures, which have the time of signing: " in render_diff(found, "text")


@pytest.mark.parametrize("form", READ)
def test_another_program_is_a_change(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = FORMS[form](EARLY)
    whole = signed_samples.boot_loader

    def changed(time: bytes, text: bytes = b"systemd-boot") -> bytes:
        return whole(time, text.replace(b"e", b"E"))

    monkeypatch.setattr(signed_samples, "boot_loader", changed)
    assert compared(tmp_path, one, FORMS[form](LATE)).changed


def test_the_program_compares_so_and_shows_digests_of_the_files_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, time in (("one", EARLY), ("other", LATE)):
        (tmp_path / name).write_bytes(FORMS["uki"](time))
    assert main(["diff", str(tmp_path / "one"), str(tmp_path / "other"), "--fail-on-change"]) == 0
    assert "no difference\ncompared without their signatures" in capsys.readouterr().out
    shown = [inspect_path(tmp_path / name).sha256 for name in ("one", "other")]
    assert shown[0] != shown[1]


@pytest.mark.parametrize(
    ("files", "changes"),
    [
        ({"a": "1", "a.sigstore.json": "other"}, []),
        ({"a": "1"}, [("a.sigstore.json", "removed")]),
        ({"a": "2", "a.sigstore.json": "other"}, [("a", "changed")]),
        ({"a": "1", "a.sigstore.json": "first", "b.sigstore.json": "1"}, [("b.sigstore.json", "added")]),
    ],
)
def test_of_detached_signatures_only_those_count_that_come_or_go(
    tmp_path: Path, files: dict[str, str], changes: list[tuple[str, str]]
) -> None:
    for folder, contents in {"one": {"a": "1", "a.sigstore.json": "first"}, "other": files}.items():
        (tmp_path / folder).mkdir()
        for name, text in contents.items():
            (tmp_path / folder / name).write_text(text)
    found = diff(*(inspect_path(tmp_path / folder) for folder in ("one", "other")))
    assert [(change.place, change.kind) for change in found.changes] == changes
