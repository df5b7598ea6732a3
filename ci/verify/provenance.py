"""`validation/provenance.json`: which inputs, each with its digest, became which files.

An unsigned in-toto statement (in-toto.io/Statement/v1) with SLSA's provenance (slsa.dev/spec/v1.0/provenance). Images
are named by package URLs of type `oci` (the purl specification's PURL-TYPES).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from ci.verify.assets import VALIDATION
from ci.verify.checksums import UNLISTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROVENANCE = "validation/provenance.json"

_BUILD_TYPE = "urn:cozystack-talos:build:v1"
_BUILDER = "urn:cozystack-talos:builder"

_Object = dict[str, Any]


class _Value(BaseModel):
    # A plan says more than is told here.
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel)


class _Image(_Value):
    reference: str
    digest: str


class _Origin(_Value):
    where: str
    release: str | None = None
    commit: str | None = None


class _Named(_Value):
    name: str


class _Extension(_Image):
    name: str


class _Plan(_Value):
    """What is told of a plan (`ci.plan`), read from its JSON."""

    variant: str
    arch: str
    talos_version: str
    origin: _Origin
    imager: _Image
    installer_base: _Image
    catalog: _Image | None
    extensions: tuple[_Extension, ...]
    overlay: _Image | None = None
    outputs: tuple[_Named, ...]
    stand_in: bool = False


def make_provenance(digests: Mapping[str, str], plan: Any, signers: Mapping[str, str] | None = None) -> _Object | None:
    """Returns the statement on files by digest, `None` where there is no plan that names the inputs.

    `signers` are those whose signatures were found, by reference with digest.
    """
    try:
        read = _Plan.model_validate(plan)
    except ValidationError:
        return None
    images = [("imager", read.imager), ("installer base", read.installer_base)]
    images += [("catalog", read.catalog)] if read.catalog else []
    images += [(f"extension {extension.name}", extension) for extension in read.extensions]
    images += [("overlay", read.overlay)] if read.overlay else []
    canonical = json.dumps(plan, sort_keys=True, separators=(",", ":"))
    dependencies: list[_Object] = [{"name": "plan", "digest": {"sha256": _sha256(canonical)}}]
    if read.origin.commit:
        upstream: _Object = {"name": "upstream", "digest": {"gitCommit": read.origin.commit}}
        if "://" in read.origin.where:
            upstream["uri"] = f"git+{read.origin.where}"
        dependencies.append(upstream)
    dependencies += [_image(name, image, signers or {}) for name, image in images]
    parameters = {"variant": read.variant, "arch": read.arch, "upstream": read.origin.where}
    if read.origin.release:
        parameters["release"] = read.origin.release
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": _subject(digests),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {**parameters, "outputs": [output.name for output in read.outputs]},
                "internalParameters": {"talosVersion": read.talos_version, "standIn": read.stand_in},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": _BUILDER}},
        },
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _subject(digests: Mapping[str, str]) -> list[_Object]:
    return [
        {"name": name, "digest": {"sha256": digest}}
        for name, digest in sorted(digests.items())
        if name not in UNLISTED and not name.startswith(VALIDATION)
    ]


def _image(name: str, image: _Image, signers: Mapping[str, str]) -> _Object:
    if image.reference.startswith("file:"):
        uri = quote(image.reference, safe=":")
        return {"name": name, "uri": uri, "digest": {"sha256": image.digest.removeprefix("sha256:")}}
    repository, _, tag = image.reference.rpartition(":")
    short = quote(repository.rpartition("/")[2], safe="")
    digest = image.digest.removeprefix("sha256:")
    where = f"repository_url={quote(repository, safe='/')}&tag={quote(tag, safe='')}"
    told: _Object = {"name": name, "uri": f"pkg:oci/{short}@sha256%3A{digest}?{where}", "digest": {"sha256": digest}}
    if signer := signers.get(f"{image.reference}@{image.digest}"):
        told["annotations"] = {"signedBy": signer}
    return told


def provenance_problems(text: str, digests: Mapping[str, str], planned: Iterable[str] | None) -> Iterable[str]:
    """Yields where a statement is not of the files that are there; it must name those planned, or else all."""
    try:
        document = json.loads(text)
        subject = {one["name"]: one["digest"]["sha256"] for one in document["subject"]}
        inputs = document["predicate"]["buildDefinition"]["resolvedDependencies"]
        without = [str(one["name"]) for one in inputs if not one["digest"]]
    except (ValueError, KeyError, TypeError) as error:
        yield f"{PROVENANCE}: no provenance statement: {type(error).__name__} {error}"
        return
    wanted = {one["name"]: one["digest"]["sha256"] for one in _subject(digests)}
    for name in sorted({*subject, *(wanted if planned is None else planned)}):
        if wanted.get(name) != subject.get(name):
            yield f"{PROVENANCE}: {name} is {wanted.get(name, 'not there')}, stated is {subject.get(name, 'nothing')}"
    for name in without:
        yield f"{PROVENANCE}: the input {name} has no digest"
