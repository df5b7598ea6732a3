"""What a running session says about its steps, for whoever shows progress."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True)
class StepEvent:
    """One change of one step: a vertex of a solve, a function call, an upload.

    Events of the same `id` are about the same step and come in order: it starts, may log, and completes. `started` and
    `completed` are seconds since the epoch and None until known; a later event may leave out what an earlier one said.
    `cached` and `error` count on the completing event; `log` is a piece of output, cut anywhere. An `immediate` one is
    shown as it comes: what a module's function prints, where a container's output only counts when it fails.
    A `detail` is for who asks for more (`-v`): an SDK's traceback, whose last line is the step's error anyway.
    """

    id: str
    name: str = ""
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""
    log: str = ""
    immediate: bool = False
    detail: bool = False


_numbers = itertools.count()


@contextmanager
def step(on_step: OnStep | None, name: str) -> Generator[None]:
    """Show what runs in the block as a step of the session."""
    event = StepEvent(id=f"engine:{next(_numbers)}", name=name, started=time.time())
    if on_step is None:
        yield
        return
    on_step(event)
    try:
        yield
    except BaseException as error:
        on_step(replace(event, completed=time.time(), error=str(error) or type(error).__name__))
        raise
    on_step(replace(event, completed=time.time()))


OnStep: TypeAlias = Callable[[StepEvent], None]
"""Called on the event loop's thread; must return at once."""
