"""Many things at the same time: results in order, one error."""

from __future__ import annotations

import anyio
import pytest

from ci.common.concurrency import gather_each, gather_two


async def test_results_are_in_the_order_of_the_items_whichever_is_done_first() -> None:
    running: list[int] = []

    async def slow(number: int) -> int:
        running.append(number)
        await anyio.sleep(0.01 * (3 - number))
        return number * 10

    assert await gather_each(slow, range(3)) == [0, 10, 20]
    assert running == [0, 1, 2]


async def test_nothing_gives_nothing() -> None:
    async def never(_: int) -> int:
        raise AssertionError

    assert await gather_each(never, []) == []


async def test_the_first_error_ends_the_others_and_is_no_group() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        if name == "bad":
            raise ValueError(name)
        try:
            await anyio.sleep(10)
        finally:
            ended.append(name)

    with pytest.raises(ValueError, match="bad"):
        await gather_each(work, ["good", "bad"])
    assert ended == ["good"]


async def test_two_works_go_on_at_the_same_time() -> None:
    began = anyio.Event()

    async def waits() -> str:
        await began.wait()
        return "waited"

    async def begins() -> int:
        began.set()
        return 1

    assert await gather_two(waits, begins) == ("waited", 1)


async def test_an_error_of_one_work_ends_the_other() -> None:
    async def fails() -> None:
        raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        await gather_two(anyio.sleep_forever, fails)
