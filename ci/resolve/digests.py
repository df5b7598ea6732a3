"""Looking up digests behind a narrow interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ci.common.concurrency import gather_each
from ci.common.errors import NotFoundInRegistryError, PlanError
from ci.common.references import as_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.common.references import PinnedImage
    from ci.resolve.model import Need


class Resolver(Protocol):
    """Say what a tag points to: the engine in a build, a table in a test."""

    async def resolve(self, reference: str) -> str:
        """Return the digest, `sha256:…`; raises `NotFoundInRegistryError` where there is no such image."""
        ...


async def resolve_all(needs: Iterable[Need], resolver: Resolver) -> dict[str, PinnedImage]:
    """Look up all needs at the same time and return the images by use.

    Raises `PlanError` where none of a need's candidates exists; any other error of the resolver as it is.
    """

    async def resolve(need: Need) -> tuple[str, PinnedImage]:
        for candidate in need.candidates:
            try:
                digest = candidate.digest or await resolver.resolve(str(candidate))
            except NotFoundInRegistryError:
                continue
            return need.use, as_image(candidate.with_digest(digest))
        tried = " nor ".join(str(candidate) for candidate in need.candidates)
        raise PlanError(f"{need.use}: the registry has no {tried}")

    return dict(await gather_each(resolve, needs))
