"""The extension catalog: which extension images are made for a Talos version.

The image `ghcr.io/siderolabs/extensions:<talos>` holds two files: `image-digests`, a line
`ghcr.io/siderolabs/<name>:<version>@sha256:<digest>` per extension, and `descriptions.yaml`, author and description
by reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ci.common import yamltext
from ci.common.errors import FileError, ReferenceSyntaxError
from ci.common.references import parse_reference
from ci.common.text import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.common.references import Reference

#: The catalog's files, at the root of its image.
IMAGE_DIGESTS = "image-digests"
DESCRIPTIONS = "descriptions.yaml"


@dataclass(frozen=True)
class CatalogEntry:
    """An extension of the catalog."""

    reference: Reference
    author: str = ""
    description: str = ""


@dataclass(frozen=True)
class Catalog:
    """Extensions by name."""

    entries: Mapping[str, CatalogEntry]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.entries))


def parse_catalog(image_digests: str, descriptions: str | None = None) -> Catalog:
    """Read the catalog's two files; without descriptions the entries have none.

    Raises `FileError` with file, line and reason.
    """
    references: dict[str, tuple[int, Reference]] = {}
    for number, line in enumerate(image_digests.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            reference = parse_reference(line.strip())
        except ReferenceSyntaxError as error:
            raise FileError(IMAGE_DIGESTS, number, str(error)) from None
        if reference.digest is None:
            raise FileError(IMAGE_DIGESTS, number, f"{reference} has no digest")
        if reference.name in references:
            first = references[reference.name][0]
            raise FileError(IMAGE_DIGESTS, number, f"{reference.name!r} is listed twice (first on line {first})")
        references[reference.name] = number, reference
    if not references:
        raise FileError(IMAGE_DIGESTS, None, "no extension is listed")
    said = _descriptions(descriptions) if descriptions else {}
    return Catalog({name: _entry(reference, said) for name, (_, reference) in references.items()})


def _entry(reference: Reference, said: Mapping[str, Mapping[str, str]]) -> CatalogEntry:
    # The keys are references; releases differ in whether they carry the digest.
    words = said.get(str(reference)) or said.get(reference.tagged) or {}
    return CatalogEntry(reference, words.get("author", ""), " ".join(words.get("description", "").split()))


def _descriptions(text: str) -> dict[str, dict[str, str]]:
    document = yamltext.parse_yaml(text, DESCRIPTIONS, FileError)
    data = document.data
    if not isinstance(data, dict):
        raise FileError(DESCRIPTIONS, document.line(()), "a mapping is expected")
    found: dict[str, dict[str, str]] = {}
    for key, value in cast("dict[str, object]", data).items():
        if not isinstance(value, dict):
            raise FileError(DESCRIPTIONS, document.line((key,)), f"{escaped(key)}: author and description are expected")
        found[key] = {name: str(words) for name, words in cast("dict[str, object]", value).items()}
    return found
