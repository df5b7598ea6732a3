"""How the lab's build is shown on stderr: a live line for each running step on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embedded.lab.builder import Progress
from embedded.lab.recipe import Step

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID


class _Quiet:
    def say(self, text: str) -> None:
        pass


class PlainProgress:
    """A line when a step begins, and one when it is done."""

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        """Print the step's name, then its time."""
        start = time.monotonic()
        print(f"daggerw: lab: {name} …", file=sys.stderr, flush=True)
        yield _Quiet()
        print(f"daggerw: lab: {name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


class _RichStep:
    def __init__(self, display: Display, task: TaskID) -> None:
        self._display, self._task = display, task

    def say(self, text: str) -> None:
        self._display.update(self._task, detail=text.replace("[", r"\["))


class RichProgress:
    """A spinner, the time and what is being done for each running step; a line that stays for each that is done."""

    def __init__(self, display: Display) -> None:
        self._display = display

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        """Show the step while it runs."""
        start = time.monotonic()
        task = self._display.add_task(name, total=None, detail="")
        try:
            yield _RichStep(self._display, task)
        finally:
            self._display.remove_task(task)
        self._display.console.print(f"[green]✓[/] lab: {name} ({time.monotonic() - start:.1f} s)", highlight=False)


@contextmanager
def display() -> Generator[Progress]:
    """Show steps live where stderr is a terminal and rich is at hand."""
    try:
        from rich.console import Console
        from rich.progress import Progress as Display
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
    except ImportError:
        yield PlainProgress()
        return
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("lab: {task.description}"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}", markup=True),
    )
    with Display(*columns, console=Console(stderr=True), transient=True) as live:
        yield RichProgress(live)
