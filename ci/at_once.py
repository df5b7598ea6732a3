"""The same for many things at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio

from ci.errors import first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

A = TypeVar("A")
R = TypeVar("R")


async def at_once(work: Callable[[A], Awaitable[R]], items: Iterable[A]) -> list[R]:
    """Return what comes of each item, in their order. The first error ends the others, and is raised as it is."""
    results: dict[int, R] = {}

    async def one(number: int, item: A) -> None:
        results[number] = await work(item)

    try:
        async with anyio.create_task_group() as tasks:
            for number, item in enumerate(items):
                tasks.start_soon(one, number, item)
    except BaseExceptionGroup as group:
        raise first(group) from None
    return [results[number] for number in sorted(results)]
