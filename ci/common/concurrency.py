"""The same for many things at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import anyio

from ci.common.errors import first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

A = TypeVar("A")
B = TypeVar("B")
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


async def both(one: Callable[[], Awaitable[A]], other: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Return what comes of two different works; an error of one ends the other."""

    async def work(which: Callable[[], Awaitable[A | B]]) -> A | B:
        return await which()

    first_result, second_result = await at_once(work, (one, other))
    return cast("A", first_result), cast("B", second_result)
