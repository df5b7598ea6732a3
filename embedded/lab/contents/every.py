"""All recipes of the lab."""

from __future__ import annotations

from typing import Final

from embedded.lab.contents import (
    bases,
    broken,
    busybox,
    catalog,
    cosign,
    crane,
    extensions,
    helm,
    kernel,
    overlays,
    talos,
    workloads,
)
from embedded.lab.recipe import Recipe

TOOLS: Final = kernel.TOOLS
"""The root filesystem whose programs make the rest: the imager's own."""


def recipes() -> list[Recipe]:
    """Return every recipe."""
    modules = (bases, busybox, talos, kernel, cosign, crane, extensions, broken, catalog, overlays, helm, workloads)
    return [recipe for module in modules for recipe in module.recipes()]
