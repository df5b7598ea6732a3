"""Images by digest, of the platform that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagger
from dagger import dag

from ci.common.errors import UserError

if TYPE_CHECKING:
    from ci.common.references import PinnedImage
    from ci.resolve.model import PlannedExtension


async def pull(image: PinnedImage | PlannedExtension, platform: str, instead: str = "") -> dagger.Container:
    """Return an image of the wanted platform.

    A registry silently returns an image of a single platform when asked for another one; that is refused, and `instead`
    says what to do.
    """
    pinned = f"{image.reference}@{image.digest}"
    container = dag.container(platform=dagger.Platform(platform)).from_(pinned)
    found = await container.platform()
    if not str(found).startswith(platform):
        instead = instead or (
            f"the build is for {platform}. Take an image that has {platform}, or drop the extension in the variant"
        )
        raise UserError(f"{pinned} is an image for {found}; {instead}")
    return container
