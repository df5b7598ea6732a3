"""What set-up and the lab raise: a cause, and what helps to mend it."""

from __future__ import annotations

from pathlib import Path

from embedded.shown import shown, shown_lines


class ExplainedError(Exception):
    """Work on this machine can't go on.

    Args:
        message: the cause in a sentence.
        hint: the way out.
        tail: the last lines of the program that failed.
        log: the file with all that it said.
    """

    def __init__(self, message: str, *, hint: str = "", tail: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.tail = tail
        self.log = log

    def __str__(self) -> str:
        lines = [shown_lines(self.message)]
        lines += [f"  | {shown(line)}" for line in self.tail.split("\n") if self.tail]
        if self.log:
            lines.append(f"  log: {self.log}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)
