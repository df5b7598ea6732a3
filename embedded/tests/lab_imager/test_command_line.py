"""The imager's own command line, beside the profile on stdin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from embedded.lab.imager.contract import CONTRACTS
from embedded.lab.imager.main import main

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = CONTRACTS["v1.13.6"]


def test_built_in_profile_takes_the_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "metal-uki",
        "--platform",
        "nocloud",
        "--arch",
        "arm64",
        "--output",
        str(tmp_path / "a/b"),
        "--output-kind",
        "cmdline",
    ]
    arguments += ["--extra-kernel-arg", "x=1", "--extra-kernel-arg", "-pti", "--meta", "0xa=hello-meta"]
    assert main(arguments, NEWEST) == 0
    text = (tmp_path / "a/b/cmdline-nocloud-arm64").read_text()
    assert text.startswith(
        "talos.platform=nocloud console=tty1 console=ttyS0 net.ifnames=0 init_on_alloc=1 slab_nomerge c"
    )
    assert text.endswith(" talos.environment=INSTALLER_META_BASE64=MHhhPWhlbGxvLW1ldGE= x=1")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["bogus"], "unknown base profile: bogus"),
        (["metal", "--output-kind", "bogus"], "bogus does not belong to OutputKind values"),
        (["metal", "--meta", "nothing"], 'invalid value "nothing"'),
        (["metal", "--meta", "ten=x"], 'invalid key "ten"'),
        (["metal", "--bogus"], "unrecognized arguments: --bogus"),
        ([], "the following arguments are required: <profile>|-"),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--output", str(tmp_path)], NEWEST) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"Error: {error}"


def test_output_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["metal", "--output", str(tmp_path / "file/out")], NEWEST) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"Error: mkdir {tmp_path}/file/out: not a directory"
