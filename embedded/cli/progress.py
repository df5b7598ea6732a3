"""What a running session is doing, on standard error: plain lines or dots; `live.py` has the display of a terminal.

Cached steps are counted, not listed: a warm build has hundreds of them. A step that fails shows what it printed.
"""

from __future__ import annotations

import asyncio
import shutil
import textwrap
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from embedded.shown import LINE_LIMIT, shown

if TYPE_CHECKING:
    from collections.abc import Generator

    from embedded.engine.events import StepEvent

_NAME_WIDTH = 120
_LEAST_LABEL = 20
_KEPT_LOG = 64 * 1024
_SHOWN_LINES = 100
_HEARTBEAT = 60.0
_FIRST_WORD = 15.0
"""Seconds after which a step that runs is named for the first time: something may be waited for."""


@dataclass
class Step:
    """A step as its events describe it so far; times are seconds since the epoch."""

    number: int
    name: str = ""
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""
    log: str = ""
    followed: bool = False
    """Whether its output is shown as it comes."""
    shown_at: float = 0.0
    """For how long it had run when that was last shown."""
    partial: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """The name on one line of bounded length."""
        return self.label_within(_NAME_WIDTH)

    def label_within(self, width: int) -> str:
        """Return the name in at most `width` columns; what is too much is left out in its middle."""
        name = shown(" ".join(self.name.split()))
        if len(name) <= width:
            return name
        tail = width // 3
        return f"{name[: width - tail - 1]}…{name[len(name) - tail :]}"

    def seconds(self, now: float) -> float:
        """Return how long it has run."""
        return 0.0 if self.started is None else max(0.0, (self.completed or now) - self.started)

    def log_tail(self) -> list[str]:
        """Return the last lines that it printed."""
        return _lines_of(self.log)[-_SHOWN_LINES:]


def _lines_of(text: str) -> list[str]:
    """Cut at line breaks only: what else Python takes for one may be meant to forge a line."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


class Progress:
    """Keeps count of the steps; the kinds of display build on it. By itself it shows nothing (`--silent`)."""

    shows = False
    """Whether anything is shown at all."""

    def __init__(self, *, live: bool = False, details: bool = False) -> None:
        self.shows_failures = False
        """Whether what a failing step printed is on the screen, so that an error need not show it again."""
        self.steps: dict[str, Step] = {}
        self._began = time.time()
        self._closed = False
        self._follows = live
        self._details = details

    def on_step(self, event: StepEvent) -> None:
        """Take an event of the session."""
        step = self.steps.setdefault(event.id, Step(len(self.steps) + 1))
        if event.detail and not self._details:
            return
        step.log = (step.log + event.log)[-_KEPT_LOG:]
        if event.log and not self._closed and (self._follows or event.immediate):
            step.followed = True
            *lines, step.partial = (step.partial + event.log).split("\n")
            # Of a line that does not end, no more is kept than would be shown.
            step.partial = step.partial[: 2 * LINE_LIMIT]
            self._lines(step, [line.removesuffix("\r") for line in lines])
        # The same step is asked for again by a later solve, which finds it cached: only its first run is shown.
        error = event.error.partition("\n")[0]
        if step.completed is not None and (step.error or not error):
            return
        step.name = event.name or step.name
        step.started = step.started if event.started is None else event.started
        step.completed = step.completed if event.completed is None else event.completed
        step.cached = step.cached or event.cached
        step.error = shown(error)
        if step.completed is not None and not self._closed:
            self._lines(step, [step.partial] if step.partial else [])
            self._completed(step)

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Make room for lines on standard output."""
        yield

    def close(self) -> None:
        """End the display; later events are only counted."""
        if not self._closed:
            self._closed = True
            self._close()

    def summary(self) -> str:
        """Say in one line what was done; empty when there was nothing to do."""
        count = len(self.steps)
        cached = sum(step.cached for step in self.steps.values())
        steps = "1 step" if count == 1 else f"{count} steps"
        return f"{steps}, {cached} cached, {time.time() - self._began:.1f} s" if count else ""

    def _lines(self, step: Step, lines: list[str]) -> None: ...

    def _completed(self, step: Step) -> None: ...

    def _close(self) -> None: ...


class PlainProgress(Progress):
    """A line when a step that was not cached completes; what functions say, with `live` all output, as it comes."""

    shows = True

    def __init__(self, stream: TextIO, *, live: bool = False, cached: bool = False, summary: bool = True) -> None:
        super().__init__(live=live, details=live)
        self._stream = stream
        self._cached = cached
        self._summary = summary
        self._width = shutil.get_terminal_size().columns
        self._beat: asyncio.TimerHandle | None = None
        self._schedule_beat()

    def _completed(self, step: Step) -> None:
        took = f"{step.seconds(time.time()):.1f}s"
        if step.error:
            self._failed(step, f"ERROR after {took}")
            if not step.followed:
                self._lines(step, step.log_tail())
        elif not step.cached:
            self._line(step, took)
        elif self._cached:
            self._line(step, "CACHED")

    def _failed(self, step: Step, what: str) -> None:
        """Write the error behind the step's name where it fits, else below it."""
        if len(f"#{step.number} {step.label}  {what}: {step.error}") <= self._width:
            return self._line(step, f"{what}: {step.error}")
        self._line(step, what)
        head = f"#{step.number} ! "
        room = max(_LEAST_LABEL, self._width - len(head))
        for line in textwrap.wrap(step.error, room, break_long_words=False, break_on_hyphens=False):
            self._write(head + line)
        return None

    def _line(self, step: Step, what: str) -> None:
        """Write a step's name and what there is to say of it, within the width."""
        head = f"#{step.number} "
        room = max(_LEAST_LABEL, self._width - len(head) - 2 - len(what))
        self._write(f"{head}{step.label_within(room)}  {what}")

    def _close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if self._summary and (summary := self.summary()):
            self._write(summary)

    def _schedule_beat(self) -> None:
        """Name the steps that run for long, and then once a minute: a CI service ends what is quiet for long."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._beat = loop.call_later(min(_FIRST_WORD, _HEARTBEAT) / 3, self._heartbeat)

    def _heartbeat(self) -> None:
        now = time.time()
        for step in self.steps.values():
            if step.started is None or step.completed is not None:
                continue
            if step.seconds(now) >= (step.shown_at + _HEARTBEAT if step.shown_at else _FIRST_WORD):
                step.shown_at = step.seconds(now)
                self._line(step, f"running for {step.shown_at:.0f}s")
        self._schedule_beat()

    def _lines(self, step: Step, lines: list[str]) -> None:
        for line in lines:
            self._write(f"#{step.number} | {shown(line.expandtabs())}")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class DotsProgress(Progress):
    """One mark a step: `.` done, `c` cached, `X` failed."""

    shows = True

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def _completed(self, step: Step) -> None:
        self._stream.write("X" if step.error else "c" if step.cached else ".")
        self._stream.flush()

    def _close(self) -> None:
        if summary := self.summary():
            self._stream.write(f"\n{summary}\n")
            self._stream.flush()
