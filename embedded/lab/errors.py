"""What the lab raises."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """The lab cannot go on: the cause in a sentence, the failing program's last lines, its log, and the way out."""

    def __init__(self, message: str, *, hint: str = "", tail: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.tail = tail
        self.log = log

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  | {line}" for line in self.tail.splitlines()]
        if self.log:
            lines.append(f"  log: {self.log}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)
