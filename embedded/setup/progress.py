"""How set-up shows what it does: on stderr, as live lines on a terminal, else as plain lines.

The standard library is all that is used: the first step is what brings other packages.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from embedded.shown import shown

Detail = Callable[[str], None]

_REFRESH_SECONDS = 0.25
_PREFIX = "daggerw: set-up: "
_CHECK = "✓"
_LEAST = 20
"""Columns of a title, however narrow the terminal is."""
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Reporter(Protocol):
    """Shows steps as they run."""

    def step(self, title: str) -> AbstractContextManager[Detail]:
        """Show a step while the block runs; the value takes what the step does right now."""
        ...

    def note(self, text: str) -> None:
        """Say something that stays."""
        ...


class PlainReporter:
    """A line when a step begins, and one when it is done, with what is left."""

    def __init__(self) -> None:
        self.total = 0
        """How many steps there are; 0 if that is not known."""
        self.done = 0
        self._lock = threading.Lock()

    @contextmanager
    def live(self) -> Generator[None]:
        """Show what runs for as long as the block does."""
        yield

    @contextmanager
    def step(self, title: str) -> Generator[Detail]:
        """Print the title, then the time that the block took."""
        self._line(title, " …")
        start = time.monotonic()
        yield lambda _: None
        self._line(title, f": done in {time.monotonic() - start:.0f} s{self._left()}")

    def _line(self, title: str, rest: str) -> None:
        """Print a step's title and what there is to say of it on one line, and of both the second whole."""
        _say(_PREFIX + _within(title, _width() - len(_PREFIX) - len(rest)) + rest)

    def _left(self) -> str:
        with self._lock:
            self.done += 1
            return f" ({self.done} of {self.total})" if self.total else ""

    def note(self, text: str) -> None:
        """Print something, on lines that fit the width."""
        _say(_wrapped(text))


@dataclass
class _Begun:
    title: str
    start: float = field(default_factory=time.monotonic)
    detail: str = ""


class LiveReporter(PlainReporter):
    """A line with a clock and its last words for each step that runs, and one that says what is left."""

    def __init__(self) -> None:
        super().__init__()
        self._running: list[_Begun] = []
        self._drawn = 0
        self._start = time.monotonic()
        self._ended = threading.Event()

    @contextmanager
    def live(self) -> Generator[None]:
        """Draw the lines anew a few times a second for as long as the block runs."""
        drawing = threading.Thread(target=self._draw_on, name="progress", daemon=True)
        drawing.start()
        try:
            yield
        finally:
            self._ended.set()
            drawing.join()
            with self._lock:
                sys.stderr.write(self._erased())
                sys.stderr.flush()

    @contextmanager
    def step(self, title: str) -> Generator[Detail]:
        """Show the title live, then leave the time that the block took."""
        begun = _Begun(title)

        def detail(text: str) -> None:
            begun.detail = text

        with self._lock:
            self._running.append(begun)
        try:
            yield detail
        finally:
            with self._lock:
                self._running.remove(begun)
        rest = f" ({_clock(begun.start)}){self._left()}"
        line = f"{_CHECK} set-up: "
        self._keep(
            line.replace(_CHECK, f"\x1b[32m{_CHECK}\x1b[0m") + _within(title, _width() - len(line + rest)) + rest
        )

    def note(self, text: str) -> None:
        """Leave a line above those that are live."""
        self._keep(_wrapped(text))

    def _keep(self, line: str) -> None:
        with self._lock:
            sys.stderr.write(f"{self._erased()}{line}\n")
            sys.stderr.flush()

    def _erased(self) -> str:
        drawn, self._drawn = self._drawn, 0
        return f"\x1b[{drawn}F\x1b[J" if drawn else ""

    def _draw_on(self) -> None:
        while not self._ended.wait(_REFRESH_SECONDS):
            with self._lock:
                lines = self.lines(_width())
                sys.stderr.write(self._erased() + "".join(f"{line}\n" for line in lines))
                sys.stderr.flush()
                self._drawn = len(lines)

    def lines(self, width: int) -> list[str]:
        """Return what is shown now: a line for each step that runs, none longer than the terminal is wide."""
        mark = _SPINNER[int(time.monotonic() / _REFRESH_SECONDS) % len(_SPINNER)]
        left = f"{self.done} of {self.total} steps done, " if self.total else ""
        return [*(self._row(one, mark, width - 1) for one in self._running), f"  set-up: {left}{_clock(self._start)}"]

    def _row(self, one: _Begun, mark: str, width: int) -> str:
        """Lay out a step that runs: its title, its clock, and what it says in the columns that are left."""
        head, clock = f"{mark} set-up: ", f" {_clock(one.start)} "
        title = _within(
            one.title, max(_LEAST, (width - len(head + clock)) * 2 // 3) if one.detail else width - len(head + clock)
        )
        line = head + title + clock
        return line + shown(one.detail)[: width - len(line)]


def _say(text: str) -> None:
    """Write a text and its line break in one piece: several threads do."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _width() -> int:
    return shutil.get_terminal_size().columns


def _within(text: str, room: int) -> str:
    """Return a title on one line of at most so many columns; what is too much is left out in its middle."""
    text, room = shown(text), max(_LEAST, room)
    if len(text) <= room:
        return text
    tail = room // 3
    return f"{text[: room - tail - 1]}…{text[len(text) - tail :]}"


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(
        shown(text), max(_LEAST, _width() - len(_PREFIX)), break_long_words=False, break_on_hyphens=False
    )
    return _PREFIX + f"\n{' ' * len(_PREFIX)}".join(lines)


def _clock(start: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    return f"{minutes}:{seconds:02d}"


def reporter() -> PlainReporter:
    """Return the live form where stderr is a terminal."""
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()
