"""Which system extensions a variant carries on an architecture, and why.

Upstream's set comes first, in upstream's order, then what the variant adds, in the variant's. The outcome for arm64
is confirmed by the images themselves later: this list only leaves out what is known to be of no use there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.common.arch import Arch
from ci.common.errors import PlanError
from ci.common.references import Reference, parse_reference
from ci.resolve.model import Dropped, DroppedBy, FileExtension, Source
from ci.resolve.names import instead_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.load.catalog import Catalog, CatalogEntry
    from ci.load.upstream import Upstream
    from ci.load.variant import AddedExtension, Variant

#: Extensions of upstream's set that have nothing for an architecture. Seen in the published arm64 images.
USELESS: Mapping[Arch, Mapping[str, str]] = {
    Arch.ARM64: {
        "amd-ucode": "CPU microcode for AMD's x86-64 processors: no use on arm64",
        "intel-ucode": "CPU microcode for Intel's x86-64 processors: no use on arm64",
        "amdgpu": "firmware and driver for amd64 only: the arm64 image is empty",
        "i915": "firmware and driver for amd64 only: the arm64 image is empty",
    },
    Arch.AMD64: {},
}

_BUILT_FOR = re.compile(r"-(v[0-9]+\.[0-9]+\.[0-9]+.*)$")


@dataclass(frozen=True)
class Chosen:
    """An extension that is carried; its digest may still have to be looked up."""

    name: str
    reference: Reference
    source: Source
    reason: str
    #: Where it is not what the reference's tag says.
    version: str | None = None


@dataclass(frozen=True)
class Choice:
    """Upstream's set and the variant's changes, taken together."""

    kept: tuple[Chosen, ...]
    dropped: tuple[Dropped, ...]


def choose(
    variant: Variant, arch: Arch, upstream: Upstream, catalog: Catalog | None, files: Sequence[FileExtension] = ()
) -> Choice:
    """Apply a variant and the given files to upstream's set; a file replaces the extension of the same name.

    Raises `VariantError`, with file and line, where they do not go together.
    """
    spec = variant.spec
    if arch not in spec.architectures:
        raise variant.error(
            ("architectures",),
            f"variant {variant.name!r} is not made for {arch}: it is for {', '.join(spec.architectures)}",
        )
    theirs = {reference.name: reference for reference in upstream.extensions}
    given = _given(variant, files)
    added = {
        entry.name: given.pop(entry.name, None) or _added(index, entry, variant, upstream, catalog)
        for index, entry in enumerate(spec.extensions.add)
    } | given
    by_variant = {entry.name: entry.reason for entry in spec.extensions.drop}
    for index, entry in enumerate(spec.extensions.drop):
        if entry.name not in theirs:
            raise variant.error(
                ("extensions", "drop", index),
                f"{entry.name!r} is not in CozyStack's set, so it can't be dropped: {instead_of(entry.name, theirs)}",
            )
    kept: list[Chosen] = []
    dropped: list[Dropped] = []
    for name, reference in theirs.items():
        if name in added:
            own = added.pop(name)
            kept.append(own)
            holder = "a file was given" if own.source is Source.FILE else "the variant has its own"
            reason = f"{holder}: {own.reference}"
            dropped.append(Dropped(name=name, reference=str(reference), by=DroppedBy.VARIANT, reason=reason))
        elif name in by_variant:
            reason = by_variant[name]
            dropped.append(Dropped(name=name, reference=str(reference), by=DroppedBy.VARIANT, reason=reason))
        elif name in USELESS[arch]:
            reason = USELESS[arch][name]
            dropped.append(Dropped(name=name, reference=str(reference), by=DroppedBy.ARCHITECTURE, reason=reason))
        else:
            kept.append(Chosen(name, reference, Source.UPSTREAM, "in CozyStack's own set"))
    return Choice((*kept, *added.values()), tuple(dropped))


def _given(variant: Variant, files: Sequence[FileExtension]) -> dict[str, Chosen]:
    given: dict[str, Chosen] = {}
    for file in files:
        if file.name in given:
            raise PlanError(f"{file.file}: extension {file.name!r} is given twice: leave out one of the files")
        if words := [word for word in variant.spec.absent if word in file.name]:
            raise PlanError(
                f"{file.file}: extension {file.name!r} is given, but variant {variant.name!r} must not have "
                f"{words[0]!r}: give another variant or another file"
            )
        given[file.name] = Chosen(file.name, file.reference, Source.FILE, "given as a file", file.version)
    return given


def _added(index: int, entry: AddedExtension, variant: Variant, upstream: Upstream, catalog: Catalog | None) -> Chosen:
    place = ("extensions", "add", index)
    if entry.reference:
        return Chosen(entry.name, parse_reference(entry.reference), Source.OWN, entry.reason)
    theirs = next((reference for reference in upstream.extensions if reference.name == entry.name), None)
    if theirs:
        raise variant.error(
            place,
            f"{entry.name!r} is in CozyStack's set already, as {theirs.tagged}: take the line out, "
            "or give reference: IMAGE@sha256:… to have an image of your own instead",
        )
    known: Mapping[str, CatalogEntry] = catalog.entries if catalog else {}
    if entry.name not in known:
        raise variant.error(
            place,
            f"unknown extension {entry.name!r}: the catalog of Talos {upstream.talos_version} has no such name; "
            f"{instead_of(entry.name, known)}",
        )
    reference = known[entry.name].reference
    if entry.version is None or entry.version == reference.tag:
        return Chosen(entry.name, reference, Source.CATALOG, entry.reason)
    built_for = _BUILT_FOR.search(entry.version)
    if built_for and built_for[1] != upstream.talos_version:
        raise variant.error(
            place,
            f"{entry.name} {entry.version} is built for Talos {built_for[1]}, the image is of "
            f"{upstream.talos_version}: the catalog has {reference.tag}",
        )
    reason = f"{entry.reason} (version chosen by the variant; the catalog has {reference.tag})"
    return Chosen(entry.name, Reference(reference.repository, entry.version), Source.OWN, reason)
