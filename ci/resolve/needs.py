"""Which images have to be looked up: those that upstream, catalog and variant name by tag only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.common import pins
from ci.common.references import Reference
from ci.resolve import extensions
from ci.resolve.model import ImageUse, Need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.common.arch import Arch
    from ci.load.catalog import Catalog
    from ci.load.upstream import Upstream
    from ci.load.variant import Variant
    from ci.resolve.model import FileExtension


def catalog_need(variant: Variant, upstream: Upstream, files: Sequence[FileExtension] = ()) -> Need | None:
    """Return the catalog image to look up, or `None` where the variant takes nothing from it."""
    given = {file.name for file in files}
    if all(added.reference or added.name in given for added in variant.spec.extensions.add):
        return None
    return catalog_of(upstream)


def catalog_of(upstream: Upstream) -> Need:
    """Return the catalog image of a Talos version."""
    return Need(ImageUse.CATALOG, (Reference(pins.EXTENSION_CATALOG, upstream.talos_version),))


def release_needs(upstream: Upstream) -> tuple[Need, ...]:
    """Return the images of a Talos release that are known by tag only."""
    return (
        Need(ImageUse.IMAGER, (Reference(pins.IMAGER, upstream.talos_version),)),
        Need(ImageUse.INSTALLER_BASE, _installer_bases(upstream)),
    )


def extension_needs(
    variant: Variant, arch: Arch, upstream: Upstream, catalog: Catalog | None, files: Sequence[FileExtension] = ()
) -> tuple[Need, ...]:
    """Return the extensions known by tag only; raises for a variant that contradicts upstream or catalog."""
    chosen = extensions.choose(variant, arch, upstream, catalog, files)
    return tuple(
        Need(extension_use(entry.name), (entry.reference,)) for entry in chosen.kept if entry.reference.digest is None
    )


def extension_use(extension: str) -> str:
    """Return what an extension's image is looked up as."""
    return f"extension/{extension}"


def _installer_bases(upstream: Upstream) -> tuple[Reference, ...]:
    """Where upstream names the installer itself, its base comes first: what the installer adds is made here."""
    named = upstream.base_installer
    if named.digest is None and named.name == "installer":
        return Reference(f"{named.namespace}/installer-base", named.tag), named
    return (named,)
