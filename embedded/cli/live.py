"""The live display on a terminal: the steps that run, how long, and how many are done."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from embedded.cli.progress import Progress, Step
from embedded.shown import shown

if TYPE_CHECKING:
    from collections.abc import Generator

_ROWS = 12
_CLOCK_WIDTH = 11
"""Columns before a step's name: a mark and a time."""
_LEAST_LABEL = 20
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class LiveProgress(Progress):
    """Running steps redrawn in place; what functions say, and failed steps with what they printed, stay."""

    shows = True

    def __init__(self, stream: TextIO, *, completed: bool = False, summary: bool = True) -> None:
        super().__init__(details=completed)
        self._console = Console(file=stream)
        self._show_completed = completed
        self._summary = summary
        self._live = self._new_live()

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Take the display off the screen for a while."""
        self._live.stop()
        try:
            yield
        finally:
            if not self._closed:
                self._live = self._new_live()

    @property
    def is_started(self) -> bool:
        """Whether the display is on the screen."""
        return self._live.is_started

    def _new_live(self) -> Live:
        live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            # Standard output is the result's: it may be a file while this display is on the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

    def rows(self, now: float) -> list[Text]:
        """Lay out what runs at a time, and the total as last row."""
        # Drawn on rich's own thread while the event loop's adds steps: work on a copy.
        steps = list(self.steps.values())
        running = [step for step in steps if step.started is not None and step.completed is None]
        frame = _FRAMES[int(now * 8) % len(_FRAMES)]
        room = max(_LEAST_LABEL, self._console.width - 1 - _CLOCK_WIDTH)
        rows = [
            Text.assemble((f"{frame} ", "cyan"), (f"{step.seconds(now):6.1f}s  ", "dim"), step.label_within(room))
            for step in running[:_ROWS]
        ]
        if len(running) > _ROWS:
            rows.append(Text(f"  and {len(running) - _ROWS} more", "dim"))
        done = sum(step.completed is not None for step in steps)
        cached = sum(step.cached for step in steps)
        elapsed = f"{now - self._began:.0f} s"
        rows.append(Text(f"  {done} of {len(steps)} steps done, {cached} cached, {elapsed}", "dim"))
        for row in rows:
            row.truncate(self._console.width - 1, overflow="ellipsis")
        return rows

    def _render(self) -> RenderableType:
        return Group(*self.rows(time.time()))

    def _completed(self, step: Step) -> None:
        took = (f"  {step.seconds(time.time()):.1f}s", "dim")
        if step.error:
            self._console.print(Text.assemble(("✘ ", "red"), step.label, took, (f"  {step.error}", "red")))
            self.shows_failures = self.shows_failures or bool(step.log)
            if not step.followed:
                self._lines(step, step.log_tail())
        elif self._show_completed:
            mark = ("● ", "dim") if step.cached else ("✔ ", "green")
            self._console.print(Text.assemble(mark, step.label, ("  CACHED", "dim") if step.cached else took))

    def _lines(self, step: Step, lines: list[str]) -> None:  # noqa: ARG002 - the rows tell which step
        for line in lines:
            self._console.print(Text.assemble(("  │ ", "dim"), shown(line.expandtabs())))

    def _close(self) -> None:
        self._live.stop()
        if self._summary and (summary := self.summary()):
            self._console.print(Text(summary, "dim"))
