"""Progress on standard error, line for line as the Talos imager prints it when no terminal is attached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

Progress = Callable[[str], None]


@dataclass
class Reporter:
    """Prints messages to a stream, never the same one twice in a row."""

    stream: TextIO
    last: str = ""

    def report(self, message: str) -> None:
        """Prints one message, outer blanks cut, tabs as four spaces."""
        line = message.strip().replace("\t", "    ")
        if line == self.last:
            return
        print(line, file=self.stream, flush=True)
        self.last = line

    def progress(self, step: str) -> Progress:
        """Returns a function that reports details below the name of a step."""
        return lambda detail: self.report(f"{step}\n\t{detail}" if detail else step)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lays out rows of equally many cells in columns, three blanks apart."""
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(len(rows[0]))]
    return ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def human_size(size: int) -> str:
    """Words a number of bytes in powers of 1000 with two digits at least: `2.4 GB`, `153 MB`."""
    if size < 10:
        return f"{size} B"
    units = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
    exponent = 0
    while size >= 1000 ** (exponent + 1) and exponent < len(units) - 1:
        exponent += 1
    value = int(size / 1000**exponent * 10 + 0.5) / 10
    return f"{value:.1f} {units[exponent]}" if value < 10 else f"{value:.0f} {units[exponent]}"
