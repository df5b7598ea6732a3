"""Which display of the progress a call gets."""

from __future__ import annotations

import sys

from embedded.cli.progress import DotsProgress, PlainProgress, Progress


def make_progress(kind: str, *, silent: bool, quiet: int, verbose: int) -> Progress:
    """Choose the display that the options ask for; `auto` is live on a terminal."""
    if silent:
        return Progress()
    if kind == "dots":
        return DotsProgress(sys.stderr)
    if kind == "tty" or (kind == "auto" and sys.stderr.isatty()):
        from embedded.cli.live import LiveProgress

        return LiveProgress(sys.stderr, completed=verbose > 0, summary=not quiet)
    live = kind == "logs" or verbose > 0
    return PlainProgress(sys.stderr, live=live, cached=verbose > 0, summary=not quiet)
