"""Text from outside in every place where the command line shows some: escaped, on its own line, of bounded length."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest

from embedded.cli import check
from embedded.cli import help as help_texts
from embedded.cli.app import print_error
from embedded.cli.live import LiveProgress
from embedded.cli.output import say, wrapped
from embedded.cli.progress import PlainProgress, Progress
from embedded.engine.errors import EngineError, ExecFailedError
from embedded.engine.events import StepEvent

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "x\x1b[31m\x1b[2J\x1b]0;t\x07\u202eevil\x9b\x7f\udcff\x00"
FORGED = f"{HOSTILE}\r#9 all checks passed\u2028Saved to"
LONG = "y" * 1_000_000
WIDTH = 120


def undrawn(text: str) -> list[str]:
    return [character for line in text.split("\n") for character in line if not character.isprintable()]


def plain(text: str) -> str:
    """Take away what the display itself draws with: colours, and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def events(text: str) -> list[StepEvent]:
    return [
        StepEvent("a", f"exec {text}", started=100.0, log=f"{text}\n", immediate=True),
        StepEvent("b", f"pull {text}", started=100.0, log=f"{text} without an end"),
        StepEvent("a", completed=101.0, error=text),
        StepEvent("b", completed=101.0, error=f"registry: {text}"),
    ]


def plain_display(stream: io.StringIO) -> Progress:
    return PlainProgress(stream, live=True, cached=True)


def quiet_display(stream: io.StringIO) -> Progress:
    return PlainProgress(stream)


def live_display(stream: io.StringIO) -> Progress:
    return LiveProgress(stream, completed=True)


@pytest.mark.parametrize("make", [plain_display, quiet_display, live_display])
def test_progress_obeys_nothing_of_what_it_shows(make: Callable[[io.StringIO], Progress]) -> None:
    stream = io.StringIO()
    display = make(stream)
    for event in events(FORGED):
        display.on_step(event)
    display.close()
    text = stream.getvalue() if make is not live_display else plain(stream.getvalue())
    assert undrawn(text) == []
    assert "\\x1b[2J" in text
    assert "\\u202e" in text
    assert "\\xff" in text
    assert not re.search(r"^(#9|Saved to)", text, re.MULTILINE)
    text.encode()


@pytest.mark.parametrize("make", [plain_display, quiet_display, live_display])
def test_progress_cuts_endless_lines(make: Callable[[io.StringIO], Progress]) -> None:
    stream = io.StringIO()
    display = make(stream)
    for event in events(LONG):
        display.on_step(event)
    display.close()
    assert len(stream.getvalue()) < 20_000


def test_a_line_without_an_end_is_not_kept_whole() -> None:
    stream = io.StringIO()
    display = PlainProgress(stream, live=True)
    for _ in range(100):
        display.on_step(StepEvent("a", "exec yes", started=100.0, log="y" * 100_000))
    assert len(display.steps["a"].partial) < 10_000
    display.close()


def test_what_is_said_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say(FORGED)
    said = capsys.readouterr().err
    assert undrawn(said) == []
    assert said.count("\n") == 1


@pytest.mark.parametrize("width", [80, 40])
def test_long_errors_are_broken_between_words(width: int) -> None:
    reference = f"ghcr.io/some/image:1@sha256:{'0' * 64}"
    error = f"Error: {'some words of an error ' * 20}\n    indented {'more of it ' * 20}\n{reference} is not there"
    lines = wrapped(error, width).split("\n")
    assert all(len(line) <= width for line in lines if reference not in line)
    assert " ".join(" ".join(lines).split()) == " ".join(error.split())
    assert lines[0].startswith("Error: some words")
    assert any(line.startswith("    indented") for line in lines)


def test_errors_and_their_output_obey_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error(EngineError(FORGED, hint=HOSTILE)) == 1
    assert print_error(ExecFailedError(["false"], 3, FORGED, LONG)) == 3
    said = capsys.readouterr().err
    assert undrawn(said) == []
    assert len(said) < 20_000
    assert [line for line in said.splitlines() if line.startswith(("#9", "Saved"))] == []


def test_a_failed_checks_lines_obey_nothing() -> None:
    lines = list(check._report(ExecFailedError(["false"], 3, f"one\ntwo {HOSTILE}\n", LONG)))
    assert [line for line in lines if undrawn(line)] == []
    assert lines[:2] == ["exit code: 3", "one"]
    assert max(map(len, lines)) < 3000


def test_help_and_tables_obey_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    help_texts.print_table([(FORGED, FORGED)])
    help_texts.print_blocks([f"TITLE\n  {HOSTILE}"])
    said = capsys.readouterr().out
    assert undrawn(said) == []
    assert [line for line in said.splitlines() if line.startswith(("#9", "Saved"))] == []


@pytest.mark.parametrize("width", [80, 100])
def test_every_line_of_the_progress_fits_the_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    display = PlainProgress(stream, cached=True)
    name = f"exec {'a word ' * 40}and-the-end"
    for number, (cached, error) in enumerate([(False, ""), (True, ""), (False, "words of an error " * 20)]):
        display.on_step(StepEvent(str(number), name, started=100.0))
        display.on_step(StepEvent(str(number), completed=1234.5, cached=cached, error=error))
    display.close()
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert all("and-the-end" in line for line in lines[:3])
    assert lines[0].endswith("1134.5s")
    assert " ".join(line.removeprefix("#3 ! ") for line in lines[3:-1]) == ("words of an error " * 20).strip()
