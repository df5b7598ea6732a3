"""Whether a tag may be moved from what it names to what is published now.

A release tag stays with its plans: each plan of which an image is behind the tag has to be among those published now.
So the same plan may be published again, and with a further architecture. A channel's tag moves from plan to plan, but
stays with its variant, and with secure boot or without.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ci.common.errors import UserError
from ci.common.oci import MANIFEST
from ci.common.references import is_digest
from ci.plan.images import PLAN, SECURE_BOOT, VARIANT, channel_tag, release_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci.plan.model import Plan
    from ci.publish.client import Manifest, Registry

_FORCE: Final = "Nothing was tagged. Publish elsewhere, or move it with --force"


class Content(NamedTuple):
    """What an image says of itself in its annotations, as far as tags depend on it; `None` where it says nothing."""

    plan: str | None
    variant: str | None
    secure_boot: str | None


async def check_moves(
    registry: Registry, repository: str, plans: Sequence[Plan], channel: str | None, *, force: bool
) -> None:
    """Raise `UserError` where a tag names content that must not be replaced by that of these plans."""
    if force:
        return
    allowed = {plan.id for plan in plans}
    named = await _named(registry, repository, release_tag(plans[0]))
    if others := sorted({one.plan or "no plan of this project" for one in named} - allowed):
        raise UserError(
            f"the tag {repository}:{release_tag(plans[0])} names other content: it was made of {', '.join(others)}, "
            f"and is now to be {', '.join(sorted(allowed))}. {_FORCE}"
        )
    if channel is None:
        return
    wanted = {(plan.variant, plan.secure_boot is not None) for plan in plans}
    tag = channel_tag(plans[0], channel)
    found = {(one.variant, one.secure_boot is not None) for one in await _named(registry, repository, tag)}
    if found - wanted:
        raise UserError(
            f"the tag {repository}:{tag} names {_in_words(found - wanted)}, and is now to be {_in_words(wanted)}. "
            f"{_FORCE}"
        )


def _in_words(contents: Iterable[tuple[str | None, bool]]) -> str:
    said = (
        f"{variant or 'no variant of this project'}{' for secure boot' if signed else ''}"
        for variant, signed in contents
    )
    return ", ".join(sorted(said))


async def _named(registry: Registry, repository: str, tag: str) -> list[Content]:
    """Return what each platform's image behind a tag says of itself; nothing where there is no such tag."""
    found = await registry.manifest(repository, tag)
    if found is None:
        return []
    if found.media_type == MANIFEST:
        return [_content(found)]
    manifests = [await registry.manifest(repository, digest) for digest in _digests(found)]
    return [_content(manifest) for manifest in manifests] or [_content(None)]


def _digests(index: Manifest) -> list[str]:
    try:
        return [digest for one in json.loads(index.content)["manifests"] if is_digest(digest := str(one["digest"]))]
    except (ValueError, KeyError, TypeError):
        return []


def _content(manifest: Manifest | None) -> Content:
    try:
        document: Any = json.loads(manifest.content) if manifest else {}
        said: dict[str, str] = document.get("annotations") or {}
        return Content(*(said.get(key) for key in (PLAN, VARIANT, SECURE_BOOT)))
    except (ValueError, AttributeError):
        return Content(None, None, None)
