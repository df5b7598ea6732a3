"""How the lab's build is shown on stderr: a live line for each running step on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embedded.lab.builder import Progress
from embedded.lab.recipe import Step
from embedded.shown import shown

if TYPE_CHECKING:
    from rich.console import Console
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


def _plain(text: str) -> str:
    """Return a text without what rich takes for its markup."""
    from rich.markup import escape

    return escape(text)


class _RichStep:
    def __init__(self, display: Display, task: TaskID) -> None:
        self._display, self._task = display, task

    def say(self, text: str) -> None:
        self._display.update(self._task, detail=_plain(shown(text)))


class RichProgress:
    """A spinner, the time and what is being done for each running step; a line that stays for each that is done."""

    def __init__(self, display: Display) -> None:
        self._display = display

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        """Show the step while it runs."""
        start = time.monotonic()
        task = self._display.add_task(_plain(name), total=None, detail="")
        try:
            yield _RichStep(self._display, task)
        finally:
            self._display.remove_task(task)
        self._display.console.print(
            f"[green]✓[/] lab: {_plain(name)} ({time.monotonic() - start:.1f} s)", highlight=False
        )


@contextmanager
def display() -> Generator[Progress]:
    """Show steps live where stderr is a terminal and rich is at hand."""
    try:
        from rich.console import Console
    except ImportError:
        yield PlainProgress()
        return
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    with columns_in(Console(stderr=True)) as live:
        yield RichProgress(live)


def columns_in(console: Console) -> Display:
    """Return the display of a console: a row for each step, none of which is wrapped; the clock is always whole."""
    from rich.progress import Progress as Display
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    def cut(ratio: int) -> Column:
        return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)

    return Display(
        SpinnerColumn(),
        TimeElapsedColumn(),
        TextColumn("lab: {task.description}", table_column=cut(2)),
        TextColumn("[dim]{task.fields[detail]}", markup=True, table_column=cut(1)),
        console=console,
        transient=True,
        expand=True,
    )
