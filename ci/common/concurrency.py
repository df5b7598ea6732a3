"""Work that runs concurrently, and work that is done once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

import anyio

from ci.common.errors import first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")
K = TypeVar("K", bound="Hashable")


async def gather_each(work: Callable[[A], Awaitable[R]], items: Iterable[A]) -> list[R]:
    """Work on all items concurrently and return the results in their order; the first error cancels the others."""
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


async def gather_two(one: Callable[[], Awaitable[A]], other: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Do two different works concurrently and return both results; an error of one cancels the other."""

    async def work(which: Callable[[], Awaitable[A | B]]) -> A | B:
        return await which()

    first_result, second_result = await gather_each(work, (one, other))
    return cast("A", first_result), cast("B", second_result)


class Memo(Generic[K, R]):
    """Results by key, each made once however many ask for it concurrently. A failure is not kept."""

    def __init__(self) -> None:
        self._results: dict[K, R] = {}
        self._locks: dict[K, anyio.Lock] = {}

    async def get(self, key: K, make: Callable[[], Awaitable[R]]) -> R:
        """Return the result of a key, made now where it was not made before."""
        async with self._locks.setdefault(key, anyio.Lock()):
            if key not in self._results:
                self._results[key] = await make()
        return self._results[key]
