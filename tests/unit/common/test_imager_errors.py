"""What the imager says where it fails: up to Talos v1.13, and from v1.14 on."""

from __future__ import annotations

import pytest

from ci.api import in_words
from ci.common.errors import BuildError
from ci.common.imager_errors import complaint, is_imager, kind_of
from tests.unit.engine import exec_error

MESSAGE = "profile is invalid: platform is required"
OLD = f"assembling the finalized profile...\n{MESSAGE}\nError: {MESSAGE}\n"
NEW = f"assembling the finalized profile...\n{MESSAGE}\n{MESSAGE}\n"


@pytest.mark.parametrize("stderr", [OLD, NEW, f"Error: {MESSAGE}", f"{MESSAGE}\n\n"])
def test_the_last_line_is_the_error_with_and_without_its_prefix(stderr: str) -> None:
    assert complaint(stderr) == MESSAGE


def test_silence_is_no_error() -> None:
    assert complaint("\n") == ""


@pytest.mark.parametrize(
    ("stderr", "code", "said"),
    [
        (OLD, 1, "`/bin/imager -` ended with exit code 1:"),
        (NEW, 1, "`/bin/imager -` ended with exit code 1:"),
        (NEW, 2, "`/bin/imager -` ended with exit code 2 (the profile, or an argument, is not valid):"),
        (NEW, 6, "`/bin/imager -` ended with exit code 6 (a file can't be read or written):"),
    ],
)
def test_an_error_is_told_once_with_what_the_code_means(stderr: str, code: int, said: str) -> None:
    error = in_words(exec_error(["/bin/imager", "-"], code, stderr=stderr))
    assert isinstance(error, BuildError)
    assert str(error).splitlines() == [said, "assembling the finalized profile...", MESSAGE]


def test_a_crash_is_no_kind_of_error() -> None:
    crash = "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n"
    assert kind_of(2, crash) is None
    assert kind_of(2, NEW) is not None
    assert kind_of(137, "") is None


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (["/bin/imager", "-"], True),
        (["/usr/bin/imager", "-"], True),
        (["/before/in-turn", "/bin/imager", "-"], True),
        (["tar", "--create", "imager"], False),
        (["python", "-m", "ci.steps.normalise"], False),
    ],
)
def test_the_imager_is_known_by_its_command_line(command: list[str], found: bool) -> None:
    assert is_imager(command) is found


def test_another_programs_output_stays_as_it_is() -> None:
    error = in_words(exec_error(["sh", "-c", "x"], 2, stderr="a\na\n"))
    assert str(error) == "`sh -c x` ended with exit code 2:\na\na"
