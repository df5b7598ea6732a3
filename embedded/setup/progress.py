"""How set-up tells what it does: on stderr, as a live line on a terminal, else as plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Detail = Callable[[str], None]


class Reporter(Protocol):
    """Shows steps as they run."""

    def step(self, title: str) -> AbstractContextManager[Detail]:
        """Show a step while the block runs; the value takes what the step does right now."""
        ...

    def note(self, text: str) -> None:
        """Say something that stays."""
        ...


class PlainReporter:
    """A line when a step begins, and one when it is done."""

    @contextmanager
    def step(self, title: str) -> Generator[Detail]:
        """Print the title, then the time that the block took."""
        self.note(f"{title} …")
        start = time.monotonic()
        yield lambda _: None
        self.note(f"{title}: done in {time.monotonic() - start:.0f} s")

    def note(self, text: str) -> None:
        """Print a line."""
        print(f"daggerw: set-up: {text}", file=sys.stderr, flush=True)


class RichReporter(PlainReporter):
    """A spinner with the time and the step's last line; a line that stays once it is done."""

    @contextmanager
    def step(self, title: str) -> Generator[Detail]:
        """Show the title live, then leave the time that the block took."""
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("set-up: {task.description}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[detail]}", markup=True, table_column=Column(no_wrap=True, ratio=1)),
        )
        start = time.monotonic()
        with Progress(*columns, console=console, transient=True, expand=True) as progress:
            task = progress.add_task(title, total=None, detail="")

            def detail(text: str) -> None:
                progress.update(task, detail=text.replace("[", r"\["))

            yield detail
        console.print(f"[green]✓[/] set-up: {title} ({time.monotonic() - start:.0f} s)", highlight=False)


def reporter() -> Reporter:
    """The live form where stderr is a terminal and rich is at hand."""
    if not sys.stderr.isatty():
        return PlainReporter()
    try:
        import rich  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        return PlainReporter()
    return RichReporter()
