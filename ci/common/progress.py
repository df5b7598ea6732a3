"""What programs and functions print: lines on standard error, which every engine shows as a step's log, and results."""

from __future__ import annotations

import os
import sys

from ci.common.text import shown


def say(text: str) -> None:
    """Show a text immediately."""
    print(shown(text.rstrip("\n")), file=sys.stderr, flush=True)  # standard output belongs to the function's result


def put(text: str) -> bool:
    """Write a result to standard output; where that takes nothing, such as a full disk, say so and return `False`."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        print(f"error: standard output: {error.strerror}", file=sys.stderr)
        # Python flushes it once more when it exits, and from 3.13 on exits with its own code if that fails.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
