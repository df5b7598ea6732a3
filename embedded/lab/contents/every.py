"""All recipes of the lab."""

from __future__ import annotations

from typing import Final

from embedded.lab.contents import bases, broken, catalog, extensions, kernel, talos
from embedded.lab.recipe import Recipe

TOOLS: Final = kernel.TOOLS
"""The root filesystem whose programs make the rest: the imager's own."""


def recipes() -> list[Recipe]:
    """Return every recipe."""
    return [recipe for module in (bases, talos, kernel, extensions, broken, catalog) for recipe in module.recipes()]
