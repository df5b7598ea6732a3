"""What a person reads while a function runs: lines on standard error, which every engine shows as the step's log."""

from __future__ import annotations

import sys

from ci.common.text import shown


def say(text: str) -> None:
    """Show a text at once."""
    print(shown(text.rstrip("\n")), file=sys.stderr, flush=True)  # standard output belongs to the function's result
