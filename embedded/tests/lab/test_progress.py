"""The lab's live lines: each on one line, with its clock, and obeying nothing."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from embedded.lab.progress import RichProgress, columns_in

HOSTILE = "x\x1b[2J\x1b]0;t\x07\u202e\r\n[red]all is done\u2028"


@pytest.mark.parametrize("width", [80, 40])
def test_every_row_fits_the_width_with_its_clock(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    display = columns_in(console)
    progress = RichProgress(display)
    with progress.step("ghcr.io/siderolabs/extensions:v1.13.6 and more of a name") as step:
        step.say(HOSTILE + "y" * 300)
        console.print(display.get_renderable())
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).splitlines()
    assert all(line.isprintable() and len(line) <= width for line in drawn)
    (row,) = [line for line in drawn if "lab: ghcr.io" in line and "0:00:00" in line]
    assert row
    assert width < 80 or "x\\x1b" in row
