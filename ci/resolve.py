"""Looking up digests behind a narrow interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio

from ci.errors import NotFoundInRegistryError, NotResolvedError, first
from ci.plan import as_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.plan import Image, Need


class Resolver(Protocol):
    """Says what a tag points to: the engine in a build, a table in a test."""

    async def resolve(self, reference: str) -> str:
        """Return the digest, `sha256:…`; raises `NotFoundInRegistryError` where there is no such image."""
        ...


async def resolve_all(needs: Iterable[Need], resolver: Resolver) -> dict[str, Image]:
    """Look up all needs at the same time and return the images by use.

    Raises `NotResolvedError` where none of a need's candidates exists; any other error of the resolver as it is.
    """
    found: dict[str, Image] = {}

    async def resolve(need: Need) -> None:
        for candidate in need.candidates:
            try:
                digest = candidate.digest or await resolver.resolve(str(candidate))
            except NotFoundInRegistryError:
                continue
            found[need.use] = as_image(candidate.with_digest(digest))
            return
        tried = " nor ".join(str(candidate) for candidate in need.candidates)
        raise NotResolvedError(f"{need.use}: the registry has no {tried}")

    try:
        async with anyio.create_task_group() as tasks:
            for need in needs:
                tasks.start_soon(resolve, need)
    except BaseExceptionGroup as group:
        raise first(group) from None
    return found
