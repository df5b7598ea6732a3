"""SPDX 2 documents as they are read: what they name, and what those inside of assets say.

Format: SPDX 2.3 (spdx.github.io/spdx-spec/v2.3).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ci.common.filenames import BASE_IMAGE, MODULES_IMAGE
from ci.inspect.models import InitramfsFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.models import LayerFacts
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

#: A JSON object.
Object = dict[str, Any]


#: What is taken over from documents, with the key of its identifier.
_LISTS = {"packages": "SPDXID", "files": "SPDXID", "hasExtractedLicensingInfos": "licenseId"}


class NotSpdxError(ValueError):
    """A text is not an SPDX 2 document."""


@dataclass(frozen=True)
class EmbeddedDocument:
    """A document in an image of the initramfs."""

    #: The extension that it is of; `None` for Talos's own.
    layer: LayerFacts | None
    #: Path of the image, and path in it.
    place: str
    text: str


def embedded_documents(assets: Assets) -> Iterator[EmbeddedDocument]:
    """Yield the documents in the initramfs: Talos's own, then the extensions'."""
    for initramfs in assets.distinct(InitramfsFacts)[:1]:
        images = assets.images_of(initramfs)
        layers = [layer for layer in initramfs.facts.layers or () if layer.image != MODULES_IMAGE]
        for layer in (None, *layers):
            image = layer.image if layer else BASE_IMAGE
            documents = images[image].documents if image in images else {}
            for path, text in sorted(documents.items()):
                yield EmbeddedDocument(layer, f"{initramfs.path}:{image}:/{path}", text)


def read_document(text: str) -> Object:
    """Return the document in a text; raises `NotSpdxError` where it holds none."""
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotSpdxError(f"no valid JSON: {error}") from None
    if not isinstance(given, dict) or not str(cast("Object", given).get("spdxVersion")).startswith("SPDX-2."):
        raise NotSpdxError("no SPDX 2 document")
    return cast("Object", given)


def identified(document: Object) -> tuple[dict[str, list[Object]], list[str]]:
    """Return what a document lists, by key, and what is wrong: an item without identifier can't be distinguished."""
    found: dict[str, list[Object]] = {}
    problems: list[str] = []
    for key, identifier in _LISTS.items():
        items: list[Object] = []
        for number, item in enumerate(objects(document, key)):
            if not isinstance(item.get(identifier), str):
                problems.append(f"{key}[{number}] has no {identifier}")
            elif key != "packages" or "name" in item:
                items.append(item)
        if items:
            found[key] = items
    return found, problems


def parts_of(assets: Assets, expectation: Expectation) -> tuple[set[tuple[str, str | None]], list[str]]:
    """Return name and version of every part of the assets, and which of the documents inside can't be read."""
    parts: set[tuple[str, str | None]] = {("talos", expectation.talos or None)}
    parts |= {("linux", kernel.facts.version or None) for kernel in assets.kernels[:1]}
    parts |= {
        (layer.name, layer.version or None)
        for initramfs in assets.distinct(InitramfsFacts)[:1]
        for layer in initramfs.facts.layers or ()
        if layer.image != MODULES_IMAGE
    }
    problems: list[str] = []
    for embedded in embedded_documents(assets):
        try:
            found, wrong = identified(read_document(embedded.text))
        except NotSpdxError as error:
            problems.append(f"{embedded.place}: {error}")
            continue
        problems += [f"{embedded.place}: {line}" for line in wrong]
        parts |= {named(package) for package in found.get("packages", ())}
    return parts, problems


def objects(document: Object, key: str) -> list[Object]:
    """Return the objects in a list of a document; what is not an object is left out."""
    found = document.get(key)
    if not isinstance(found, list):
        return []
    return [cast("Object", one) for one in cast("list[Any]", found) if isinstance(one, dict)]


def named_in(text: str) -> set[tuple[str, str | None]]:
    """Return name and version of every package that an SPDX document names; raises `ValueError` for any other text."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004 (the caller's one error for a text that is no SBOM)
    given = cast("Object", document)
    # All of one space: a relation says by identifiers alone what it is between.
    elements = [given, *(one for key in ("packages", "files", "snippets") for one in objects(given, key))]
    for identifier, count in Counter(str(one["SPDXID"]) for one in elements if "SPDXID" in one).items():
        if count > 1:
            raise ValueError(f"{identifier} is there twice")
    return {named(one) for one in objects(given, "packages")}


def named(package: Object) -> tuple[str, str | None]:
    """Return a package's name and version."""
    return str(package.get("name")), package.get("versionInfo")
