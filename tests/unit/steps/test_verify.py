"""The command line of the checks."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ci.steps.verify import main
from ci.verify.verify import OF_SIGNATURES, REQUIREMENTS
from tests.unit.inspect.samples import File
from tests.unit.steps.normalise.running import TOP
from tests.unit.verify.assets import NOT_HERE, expectation_of, files_of, good, plan_of, write
from tests.unit.verify.test_extension_images import extension

if TYPE_CHECKING:
    from pathlib import Path


def test_command_line_checks_and_ends_with_one_when_a_check_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = good()
    write(tmp_path / "assets", files_of(spec))
    (tmp_path / "expect.json").write_text(expectation_of(spec).model_dump_json())
    (tmp_path / "plan.json").write_text(json.dumps(plan_of(spec)))
    common = ["--assets", str(tmp_path / "assets"), "--expect", str(tmp_path / "expect.json")]
    assert main(["seal", *common, "--plan", str(tmp_path / "plan.json")]) == 0
    # Signatures are made behind the seal.
    checked = len(REQUIREMENTS) - len(OF_SIGNATURES)
    passed = len(REQUIREMENTS) - len(NOT_HERE)
    assert f"{checked} checks: {passed} passed" in capsys.readouterr().out
    assert main(["check", *common]) == 0
    (tmp_path / "assets/boot/vmlinuz").unlink()
    capsys.readouterr()
    assert main(["check", *common, "--format", "json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert {check["id"] for check in result["checks"] if check["status"] == "fail"} >= {"layout.complete"}


def test_command_line_checks_extensions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good_one = str(extension(tmp_path, "spin"))
    bad = str(extension(tmp_path, "bad", [File("opt/x", b"1")]))
    arguments = ["extensions", "--talos", "v1.13.6", "--arch", "arm64"]
    assert main([*arguments, good_one]) == 0
    assert main([*arguments, good_one, bad]) == 1
    assert "FAIL  extension.paths" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--assets", "{tmp}/gone"], "no such folder"),
        (["check", "--assets", "{tmp}", "--expect", "{tmp}/gone.json"], "gone.json: No such file"),
        (["check", "--assets", "{tmp}", "--expect", "{tmp}/bad.json"], "bad.json: document: Invalid JSON"),
        (
            ["seal", "--assets", "{tmp}", "--expect", "{tmp}/empty.json", "--plan", "{tmp}/bad.json"],
            "bad.json: not a plan",
        ),
        (["extensions", "--talos", "newest", "--arch", "arm64", "{tmp}"], "'newest' is no version"),
    ],
)
def test_command_line_says_what_is_wrong_and_ends_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    assert main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


@pytest.mark.parametrize("foreign", ["dagger", "jinja2", "pefile", "pycdlib"])
def test_the_program_does_without_what_takes_long_to_import(foreign: str) -> None:
    script = f"import sys, ci.steps.verify; sys.exit({foreign!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=TOP, check=False).returncode == 0
