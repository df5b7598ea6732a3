"""All recipes of the lab."""

from __future__ import annotations

from typing import Final

from embedded.lab.contents import bases, kernel, talos
from embedded.lab.recipe import Recipe

TOOLS: Final = kernel.TOOLS
"""The root filesystem whose programs make the rest: the imager's own."""


def recipes() -> list[Recipe]:
    """Return every recipe."""
    return [*bases.recipes(), *talos.recipes(), *kernel.recipes()]
