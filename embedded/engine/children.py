"""Processes that must not outlive this one, even when it is killed."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def ended_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return what a child does first (`preexec_fn`): ask Linux for a signal when the thread that started it ends.

    So processes are to be started from the main thread, which lives as long as the process.
    """
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: a child should do as little as possible

    def first() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))

    return first
