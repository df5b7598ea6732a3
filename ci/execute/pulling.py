"""Images by digest, of the platform that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagger
from dagger import dag

from ci.common.errors import UserError

if TYPE_CHECKING:
    from ci.common.references import PinnedImage
    from ci.resolve.model import PlannedExtension


def image_of(image: PinnedImage | PlannedExtension, platform: str) -> dagger.Container:
    """Return an image of the wanted platform, or of another one: whoever uses it has that checked."""
    pinned = f"{image.reference}@{image.digest}"
    return dag.container(platform=dagger.Platform(platform)).from_(pinned)


async def check_platform(image: PinnedImage | PlannedExtension, platform: str, instead: str = "") -> None:
    """Raise `UserError` for an image that is not of the wanted platform; `instead` says what to do.

    A registry silently returns an image of a single platform when asked for another one.
    """
    found = await image_of(image, platform).platform()
    if not str(found).startswith(platform):
        instead = instead or (
            f"the build is for {platform}. Take an image that has {platform}, or drop the extension in the variant"
        )
        raise UserError(f"{image.reference}@{image.digest} is an image for {found}; {instead}")


async def pull(image: PinnedImage | PlannedExtension, platform: str, instead: str = "") -> dagger.Container:
    """Return an image of the wanted platform; raises as `check_platform` does."""
    await check_platform(image, platform, instead)
    return image_of(image, platform)
