"""How set-up shows what it does: on stderr, as live lines on a terminal, else as plain lines.

The standard library is all that is used: the first step is what brings other packages.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

Detail = Callable[[str], None]

_REFRESH_SECONDS = 0.25
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
        self.note(f"{title} …")
        start = time.monotonic()
        yield lambda _: None
        self.note(f"{title}: done in {time.monotonic() - start:.0f} s{self._left()}")

    def _left(self) -> str:
        with self._lock:
            self.done += 1
            return f" ({self.done} of {self.total})" if self.total else ""

    def note(self, text: str) -> None:
        """Print a line."""
        print(f"daggerw: set-up: {text}", file=sys.stderr, flush=True)


@dataclass
class _Shown:
    title: str
    start: float = field(default_factory=time.monotonic)
    detail: str = ""


class LiveReporter(PlainReporter):
    """A line with a clock and its last words for each step that runs, and one that says what is left."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[_Shown] = []
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
        shown = _Shown(title)

        def detail(text: str) -> None:
            shown.detail = text

        with self._lock:
            self._shown.append(shown)
        try:
            yield detail
        finally:
            with self._lock:
                self._shown.remove(shown)
        self._keep(f"\x1b[32m✓\x1b[0m set-up: {title} ({_clock(shown.start)}){self._left()}")

    def note(self, text: str) -> None:
        """Leave a line above those that are live."""
        self._keep(f"daggerw: set-up: {text}")

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
                lines = self.lines(shutil.get_terminal_size().columns)
                sys.stderr.write(self._erased() + "".join(f"{line}\n" for line in lines))
                sys.stderr.flush()
                self._drawn = len(lines)

    def lines(self, width: int) -> list[str]:
        """Return what is shown now: a line for each step that runs, none longer than the terminal is wide."""
        mark = _SPINNER[int(time.monotonic() / _REFRESH_SECONDS) % len(_SPINNER)]
        lines = [f"{mark} set-up: {one.title} {_clock(one.start)} {one.detail}" for one in self._shown]
        left = f"{self.done} of {self.total} steps done, " if self.total else ""
        return [line[: width - 1] for line in (*lines, f"  set-up: {left}{_clock(self._start)}")]


def _clock(start: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    return f"{minutes}:{seconds:02d}"


def reporter() -> PlainReporter:
    """Return the live form where stderr is a terminal."""
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()
