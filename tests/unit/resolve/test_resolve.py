"""Looking up digests."""

from __future__ import annotations

import anyio
import pytest

from ci.common.errors import CozystackTalosError, NotFoundInRegistryError, PlanError, ReferenceSyntaxError
from ci.common.references import PinnedImage, parse_reference
from ci.resolve.digests import resolve_all
from ci.resolve.model import Need
from tests.unit.catalogs import digest
from tests.unit.planning import Registry

ONE = parse_reference("ghcr.io/siderolabs/imager:v1.13.6")
TWO = parse_reference("ghcr.io/siderolabs/installer:v1.13.6")


async def test_the_first_candidate_that_exists_is_taken() -> None:
    registry = Registry(str(ONE))
    found = await resolve_all([Need("base", (ONE, TWO))], registry)
    assert found == {"base": PinnedImage(reference=str(TWO), digest=digest("3"))}
    assert registry.asked == [str(ONE), str(TWO)]


async def test_no_second_candidate_is_asked_for_where_the_first_exists() -> None:
    registry = Registry()
    await resolve_all([Need("base", (ONE, TWO))], registry)
    assert registry.asked == [str(ONE)]


async def test_a_digest_that_is_known_is_not_asked_for() -> None:
    registry = Registry()
    found = await resolve_all([Need("base", (ONE.with_digest(digest("8")),))], registry)
    assert found == {"base": PinnedImage(reference=str(ONE), digest=digest("8"))}
    assert registry.asked == []


async def test_where_nothing_exists_the_tried_ones_are_named() -> None:
    with pytest.raises(PlanError) as raised:
        await resolve_all([Need("base", (ONE, TWO))], Registry(str(ONE), str(TWO)))
    assert str(raised.value) == f"base: the registry has no {ONE} nor {TWO}"


class Broken:
    async def resolve(self, reference: str) -> str:
        raise CozystackTalosError("no route to the registry")


async def test_a_registry_that_does_not_answer_is_not_taken_for_one_that_has_no_image() -> None:
    with pytest.raises(CozystackTalosError, match=r"^no route to the registry$") as raised:
        await resolve_all([Need("base", (ONE, TWO)), Need("imager", (ONE,))], Broken())
    assert not isinstance(raised.value, NotFoundInRegistryError)


class Meeting:
    """Answers only when two look-ups are under way."""

    def __init__(self) -> None:
        self.waiting = 0
        self.both = anyio.Event()

    async def resolve(self, reference: str) -> str:
        self.waiting += 1
        if self.waiting == 2:
            self.both.set()
        await self.both.wait()
        return digest("1")


async def test_look_ups_run_at_the_same_time() -> None:
    with anyio.fail_after(10):
        found = await resolve_all([Need("a", (ONE,)), Need("b", (TWO,))], Meeting())
    assert sorted(found) == ["a", "b"]


class Liar:
    async def resolve(self, reference: str) -> str:
        return "latest"


async def test_an_answer_that_is_no_digest_is_refused() -> None:
    with pytest.raises(ReferenceSyntaxError, match=r"^ghcr\.io/siderolabs/imager:v1\.13\.6: bad digest 'latest'"):
        await resolve_all([Need("a", (ONE,))], Liar())
