"""What is shown of the steps as they run."""

from __future__ import annotations

import asyncio
import io
import re
from typing import TYPE_CHECKING

import pytest

from embedded.cli import progress as progress_module
from embedded.cli.display import make_progress
from embedded.cli.live import LiveProgress
from embedded.cli.progress import DotsProgress, PlainProgress, Progress
from embedded.engine.events import StepEvent

if TYPE_CHECKING:
    from embedded.tests.cli.conftest import Dagger
    from embedded.tests.cli.fake import FakeEngine

EVENTS = [
    StepEvent("a", "pull debian", started=100.0),
    StepEvent("a", completed=100.0, cached=True),
    StepEvent("b", "exec make\n  all", started=100.0),
    StepEvent("b", log="one\ntw"),
    StepEvent("c", "exec false", started=101.0, log="boom\n"),
    StepEvent("b", log="o\n"),
    StepEvent("b", completed=102.5),
    StepEvent("c", completed=101.25, error="exit code: 1\nmore of it"),
]


def feed(display: Progress, events: list[StepEvent] = EVENTS) -> None:
    for event in events:
        display.on_step(event)
    display.close()


def without_total(text: str) -> list[str]:
    return re.sub(r"[\d.]+ s$", "T s", text, flags=re.MULTILINE).splitlines()


def test_plain_shows_what_ran_and_why_it_failed() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream))

    assert without_total(stream.getvalue()) == [
        "#2 exec make all  2.5s",
        "#3 exec false  ERROR after 0.2s: exit code: 1",
        "#3 | boom",
        "3 steps, 1 cached, T s",
    ]


def test_live_logs_come_a_whole_line_at_a_time() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream, live=True, cached=True))

    assert without_total(stream.getvalue()) == [
        "#1 pull debian  CACHED",
        "#2 | one",
        "#3 | boom",
        "#2 | two",
        "#2 exec make all  2.5s",
        "#3 exec false  ERROR after 0.2s: exit code: 1",
        "3 steps, 1 cached, T s",
    ]


@pytest.mark.parametrize("asked", [False, True])
def test_details_are_for_who_asks_for_more(asked: bool) -> None:
    stream = io.StringIO()
    events = [
        StepEvent("a", "Main.fail", started=100.0, log="trying\n", immediate=True),
        StepEvent("a", log="Traceback (most recent call last):\n", immediate=True, detail=True),
        StepEvent("a", completed=101.0, error="it failed"),
    ]

    feed(PlainProgress(stream, live=asked), events)

    trace = ["#1 | Traceback (most recent call last):"] if asked else []
    failure = "#1 Main.fail  ERROR after 1.0s: it failed"
    assert without_total(stream.getvalue()) == ["#1 | trying", *trace, failure, "1 step, 0 cached, T s"]


TOLD = [
    StepEvent("a", "Main.build", started=100.0),
    StepEvent("a", log="building three fi", immediate=True),
    StepEvent("b", "exec make", started=100.0, log="noise\n"),
    StepEvent("a", log="les\ndone", immediate=True),
    StepEvent("b", completed=101.0),
]


def test_plain_shows_what_a_function_says_as_it_says_it() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream), [*TOLD, StepEvent("a", completed=102.0)])

    assert without_total(stream.getvalue()) == [
        "#1 | building three files",
        "#2 exec make  1.0s",
        "#1 | done",
        "#1 Main.build  2.0s",
        "2 steps, 0 cached, T s",
    ]


def test_what_a_failing_function_said_is_shown_once() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream), [*TOLD, StepEvent("a", completed=102.0, error="no")])

    assert stream.getvalue().count("building three files") == 1


def test_a_terminal_keeps_what_a_function_says() -> None:
    stream = io.StringIO()

    feed(LiveProgress(stream), [*TOLD, StepEvent("a", completed=102.0, error="no")])

    said = [line.rstrip() for line in stream.getvalue().splitlines() if "│" in line]
    assert said == ["  │ building three files", "  │ done"]


def test_last_line_without_line_break_is_shown() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream, live=True), [StepEvent("a", "x", 1.0, log="end"), StepEvent("a", completed=2.0)])

    assert stream.getvalue().splitlines()[0] == "#1 | end"


def test_log_of_a_failing_step_is_bounded() -> None:
    stream = io.StringIO()
    log = "".join(f"line {n}\n" for n in range(1000))

    feed(PlainProgress(stream), [StepEvent("a", "x", 1.0, log=log), StepEvent("a", completed=2.0, error="no")])

    shown = [line for line in stream.getvalue().splitlines() if line.startswith("#1 |")]
    assert shown == [f"#1 | line {n}" for n in range(900, 1000)]


def test_nothing_to_do_is_not_summarised() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream), [])

    assert stream.getvalue() == ""


def test_completion_is_told_once() -> None:
    stream = io.StringIO()

    feed(PlainProgress(stream, summary=False), [StepEvent("a", "x", 1.0, 2.0), StepEvent("a", completed=2.0)])

    assert stream.getvalue() == "#1 x  1.0s\n"


def test_step_found_cached_by_a_later_solve_has_still_run() -> None:
    stream = io.StringIO()
    again = [StepEvent("a", started=3.0), StepEvent("a", completed=3.0, cached=True)]

    feed(PlainProgress(stream), [StepEvent("a", "x", 1.0, 2.0), *again])

    assert without_total(stream.getvalue()) == ["#1 x  1.0s", "1 step, 0 cached, T s"]


def test_step_that_fails_in_a_later_solve_is_told() -> None:
    stream = io.StringIO()

    feed(
        PlainProgress(stream, summary=False), [StepEvent("a", "x", 1.0, 2.0), StepEvent("a", completed=4.0, error="no")]
    )

    assert stream.getvalue().splitlines() == ["#1 x  1.0s", "#1 x  ERROR after 3.0s: no"]


def test_dots_are_one_mark_a_step() -> None:
    stream = io.StringIO()

    feed(DotsProgress(stream))

    assert without_total(stream.getvalue()) == ["c.X", "3 steps, 1 cached, T s"]


async def test_long_steps_are_named_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_HEARTBEAT", 0.02)
    stream = io.StringIO()
    display = PlainProgress(stream, summary=False)

    display.on_step(StepEvent("a", "exec make", started=100.0))
    await asyncio.sleep(0.05)
    display.close()
    said = stream.getvalue()
    await asyncio.sleep(0.05)

    assert re.match(r"#1 exec make  running for \d+s\n", said)
    assert stream.getvalue() == said


async def test_a_step_that_waits_is_named_early_and_then_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "time", lambda: now[0])
    stream = io.StringIO()
    display = PlainProgress(stream, summary=False)
    display.on_step(StepEvent("a", "look up refs of git://host/x", started=1000.0))

    for second in range(0, 200, 5):
        now[0] = 1000.0 + second
        display._heartbeat()
    display.close()

    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == ["15s", "75s", "135s", "195s"]


def test_live_display_ends_with_failures_and_a_summary() -> None:
    stream = io.StringIO()

    display = LiveProgress(stream)

    feed(display)

    assert display.shows_failures
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "✘ exec false  0.2s  exit code: 1" in plain
    assert "│ boom" in plain
    assert without_total(plain.strip())[-1] == "3 steps, 1 cached, T s"


def test_live_display_lists_what_runs_within_the_width() -> None:
    display = LiveProgress(io.StringIO())
    for number in range(20):
        display.on_step(StepEvent(str(number), f"exec {'x' * 200}", started=100.0))
    display.on_step(StepEvent("0", completed=101.0, cached=True))

    *rows, more, total = display.rows(now=103.0)
    display.close()

    assert [row.plain[1:20] for row in rows] == ["    3.0s  exec xxxx"] * 12
    assert {len(row.plain) for row in rows} == {79}
    assert more.plain == "  and 7 more"
    assert total.plain.startswith("  1 of 20 steps done, 1 cached")


def test_live_display_makes_room_for_results() -> None:
    display = LiveProgress(io.StringIO())

    with display.hidden():
        assert not display.is_started
    assert display.is_started
    display.close()
    assert not display.is_started


def test_silent_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    feed(make_progress("plain", silent=True, quiet=0, verbose=3))

    assert capsys.readouterr() == ("", "")


def test_auto_is_plain_without_a_terminal(dagger: Dagger, engine: FakeEngine) -> None:
    engine.steps = EVENTS

    outcome = dagger("call", "words", silent=False)

    assert outcome.stdout == "one\ntwo\n"
    assert without_total(outcome.stderr)[0] == "#2 exec make all  2.5s"
    assert without_total(outcome.stderr)[-1] == "3 steps, 1 cached, T s"


def test_summary_comes_before_the_error(dagger: Dagger, engine: FakeEngine) -> None:
    engine.steps = EVENTS[:2]

    outcome = dagger("call", "fail", silent=False)

    assert without_total(outcome.stderr) == [
        "1 step, 1 cached, T s",
        "Error: FunctionError: no such thing: choose a or b",
    ]


def test_quiet_leaves_the_summary_out(dagger: Dagger, engine: FakeEngine) -> None:
    engine.steps = EVENTS[:2]

    assert dagger("-q", "call", "words", silent=False).stderr == ""
