"""`validation/sbom.spdx.json`: Talos, its kernel, every extension, and what their own SPDX documents name.

Format: SPDX 2.3 (spdx.github.io/spdx-spec/v2.3). The documents are those that Talos itself looks for, in its root file
system and in extensions. Identifiers are unique within a document only, so each document's get a prefix.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from ci.common.documents import json_text
from ci.common.filenames import CHECKSUMS, MODULES_IMAGE, VALIDATION
from ci.inspect.models import InitramfsFacts
from ci.verify.spdx import EmbeddedDocument, NotSpdxError, embedded_documents, identified, objects, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.models import LayerFacts
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

_ROOT = "SPDXRef-Package-assets"
_TALOS = "SPDXRef-Package-talos"
_KERNEL = "SPDXRef-Package-kernel"
_DOCUMENT = "SPDXRef-DOCUMENT"
_NAMESPACE = uuid.UUID("6f3c8f0e-6d8f-4f0b-9a53-0d5a0a1f7c11")

_REFERENCE = re.compile(r"SPDXRef-([A-Za-z0-9.-]+)")
_LICENSE = re.compile(r"LicenseRef-([A-Za-z0-9.-]+)")
_DESCRIPTIONS = ("DESCRIBES", "DESCRIBED_BY")
_Object = dict[str, Any]


@dataclass
class Sbom:
    """The merged document."""

    document: _Object
    #: What identifiers of merged documents begin with, one for each document.
    prefixes: set[str] = field(default_factory=set[str])

    def to_json(self) -> str:
        """Return the document as text, with a line feed at the end."""
        return json_text(self.document)


def _package(identifier: str, name: str, version: str | None, sha256: str | None = None) -> _Object:
    package: _Object = {"SPDXID": identifier, "name": name}
    if version:
        package["versionInfo"] = version
    package |= {"downloadLocation": "NOASSERTION", "filesAnalyzed": False, "copyrightText": "NOASSERTION"}
    package |= {"licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION"}
    if sha256:
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256}]
    return package


def _relation(element: str, kind: str, related: str) -> _Object:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}


def _word(text: str) -> str:
    """Return a text with nothing in it that an identifier can't have."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-") or "x"


def make_sbom(assets: Assets, expectation: Expectation, epoch: int) -> Sbom:
    """Return the SBOM of assets; `epoch` is the time that it says it was made at, in seconds since 1970."""
    name = "-".join(part for part in ("talos-assets", expectation.variant, expectation.arch) if part)
    subject = {
        path: digest
        for path, digest in sorted(assets.digests.items())
        if path != CHECKSUMS and not path.startswith(VALIDATION)
    }
    talos = _package(_TALOS, "talos", expectation.talos)
    kernel = next(iter(assets.kernels), None)
    sbom = Sbom(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": _DOCUMENT,
            "name": name,
            "documentNamespace": "",
            "creationInfo": {
                "created": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "creators": ["Tool: cozystack-talos"],
            },
            "packages": [_package(_ROOT, name, expectation.talos), talos],
            "relationships": [_relation(_DOCUMENT, "DESCRIBES", _ROOT), _relation(_ROOT, "CONTAINS", _TALOS)],
        }
    )
    if kernel is not None:
        sbom.document["packages"].append(_package(_KERNEL, "linux", kernel.facts.version, kernel.sha256))
        sbom.document["relationships"].append(_relation(_ROOT, "CONTAINS", _KERNEL))
    for initramfs in assets.distinct(InitramfsFacts)[:1]:
        digest_of = {node.name: node.sha256 for node in initramfs.node.contents}
        for layer in initramfs.facts.layers or ():
            if layer.image == MODULES_IMAGE:
                continue
            identifier = _identifier(layer)
            package = _package(identifier, layer.name, layer.version, digest_of.get(layer.image))
            sbom.document["packages"].append(package)
            sbom.document["relationships"].append(_relation(_ROOT, "CONTAINS", identifier))
    for embedded in embedded_documents(assets):
        _merge(sbom, _identifier(embedded.layer) if embedded.layer else _TALOS, embedded)
    # One for each document: it follows from all that the document says, and from the files that it is about.
    unique = uuid.uuid5(_NAMESPACE, json.dumps([subject, sbom.document]))
    sbom.document["documentNamespace"] = f"urn:uuid:{unique}"
    return sbom


def _identifier(layer: LayerFacts) -> str:
    # By the image, not by the name, which two may have.
    return f"SPDXRef-Extension-{_word(layer.image.removesuffix('.sqsh'))}-{_word(layer.name)}"


def _merge(sbom: Sbom, owner: str, embedded: EmbeddedDocument) -> None:
    """Add what a document names; what it describes becomes a part of its owner."""
    try:
        document = read_document(embedded.text)
    except NotSpdxError:
        return  # the check of the SBOM reports it
    file = embedded.place.rpartition("/")[2].removesuffix(".spdx.json")
    # No hyphen in the file's name: else `one` with `x-main` in it would be `one-x` with `main` in it.
    prefix = f"{owner.removeprefix('SPDXRef-')}-{_word(file).replace('-', '.')}"
    while prefix in sbom.prefixes:  # two folders may hold a file of that name
        prefix += ".again"
    sbom.prefixes.add(prefix)
    renamed = cast("_Object", _renamed(document, prefix, owner))
    for key, items in identified(renamed)[0].items():
        sbom.document.setdefault(key, []).extend(items)
    known = {item["SPDXID"] for key in ("packages", "files") for item in sbom.document.get(key, ())}
    described = list(_described(renamed, owner)) or [
        one["SPDXID"] for one in objects(renamed, "packages") if "SPDXID" in one
    ]
    relations = [_relation(owner, "CONTAINS", one) for one in described]
    relations += [one for one in objects(renamed, "relationships") if one.get("relationshipType") not in _DESCRIPTIONS]
    for one in relations:
        ends = (one.get("spdxElementId"), one.get("relatedSpdxElement"))
        if ends[0] in known and (ends[1] in known or ends[1] in ("NONE", "NOASSERTION")) and ends[0] != ends[1]:
            sbom.document["relationships"].append(one)


def _described(document: _Object, owner: str) -> Iterator[str]:
    listed = document.get("documentDescribes")
    yield from [one for one in cast("list[Any]", listed or []) if isinstance(one, str)]
    for one in objects(document, "relationships"):
        ends = (one.get("spdxElementId"), one.get("relatedSpdxElement"))
        about, other = ends if one.get("relationshipType") == "DESCRIBES" else ends[::-1]
        if one.get("relationshipType") in _DESCRIPTIONS and about == owner:
            yield str(other)


def _renamed(value: Any, prefix: str, owner: str) -> Any:
    """Return a value with all identifiers of its document prefixed; the document itself becomes the owner.

    Identifiers stand in texts of their own, licences also inside expressions; other texts have neither.
    """
    if isinstance(value, dict):
        return {key: _renamed(one, prefix, owner) for key, one in cast("_Object", value).items()}
    if isinstance(value, list):
        return [_renamed(one, prefix, owner) for one in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    if value == _DOCUMENT:
        return owner
    if found := _REFERENCE.fullmatch(value):
        return f"SPDXRef-{prefix}-{found[1]}"
    return _LICENSE.sub(rf"LicenseRef-{prefix}-\1", value) if "LicenseRef-" in value else value
