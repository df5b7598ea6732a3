"""Every image that a build pulls: what a mirror for machines without the internet has to hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from ci.common.errors import OutputError, suggest
from ci.resolve.model import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.plan.model import Plan

FORMATS = ("text", "json")


class Pulled(NamedTuple):
    """An image by tag and digest, and what it is for."""

    reference: str
    use: str


def pulled(plan: Plan, tools: Iterable[Pulled]) -> tuple[Pulled, ...]:
    """Return the images of a plan and of the tools, each once, in the order of their references."""
    own = [
        Pulled(plan.imager.pinned, "imager"),
        Pulled(plan.installer_base.pinned, "installer base"),
        *([Pulled(plan.catalog.pinned, "extension catalog")] if plan.catalog else []),
        *([Pulled(plan.overlay.pinned, "overlay")] if plan.overlay else []),
        *(
            Pulled(f"{one.reference}@{one.digest}", f"extension {one.name}")
            for one in plan.extensions
            if one.source is not Source.FILE
        ),
    ]
    return tuple(sorted({one.reference: one for one in (*tools, *own)}.values()))


def check_format(text: str) -> str:
    """Return `text` or `json`; raises `OutputError` for another word."""
    if text not in FORMATS:
        raise OutputError(f"unknown format {text!r}: {suggest(text, FORMATS)}")
    return text


def as_text(images: Iterable[Pulled]) -> str:
    """Return a reference a line, for a loop around `crane copy` or `skopeo copy`."""
    return "".join(f"{image.reference}\n" for image in images)


def as_json(images: Iterable[Pulled]) -> str:
    """Return a list of objects with `reference` and `use`."""
    return json.dumps([image._asdict() for image in images], indent=2) + "\n"
