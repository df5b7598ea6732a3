"""`validation/provenance.json`: which inputs, each with its digest, became which files.

An unsigned in-toto statement (in-toto.io/Statement/v1) with SLSA's provenance (slsa.dev/spec/v1.0/provenance). Images
are named by package URLs of type `oci` (the purl specification's PURL-TYPES).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ci.verify.assets import VALIDATION
from ci.verify.checksums import UNLISTED
from ci.verify.planned import plan_id, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.verify.planned import Image

PROVENANCE = "validation/provenance.json"

#: What every statement says it is (in-toto attestation framework).
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_BUILD_TYPE = "urn:cozystack-talos:build:v1"
_BUILDER = "urn:cozystack-talos:builder"

#: An image's package URL, decoded: its name is the repository's last part. Inputs of other kinds begin otherwise.
_IMAGE = re.compile(
    r"pkg:oci/(?P<name>[^/:@?&]+)@(?P<digest>sha256:[0-9a-f]{64})"
    r"\?repository_url=[^@?&]+/(?P=name)(?:&tag=[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
)
_NO_IMAGE = ("file:", "git+")

_Object = dict[str, Any]


def make_provenance(digests: Mapping[str, str], plan: Any, signers: Mapping[str, str] | None = None) -> _Object | None:
    """Returns the statement on files by digest, `None` where there is no plan that names the inputs.

    `signers` are those whose signatures were found, by reference with digest.
    """
    read = read_plan(plan)
    if read is None:
        return None
    dependencies: list[_Object] = [{"name": "plan", "digest": {"sha256": plan_id(plan)}}]
    if read.origin.commit:
        upstream: _Object = {"name": "upstream", "digest": {"gitCommit": read.origin.commit}}
        if "://" in read.origin.where:
            upstream["uri"] = f"git+{read.origin.where}"
        dependencies.append(upstream)
    dependencies += [_image(name, image, signers or {}) for name, image in read.images]
    parameters = {"variant": read.variant, "arch": read.arch, "upstream": read.origin.where}
    if read.origin.release:
        parameters["release"] = read.origin.release
    return {
        "_type": STATEMENT_TYPE,
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


def _subject(digests: Mapping[str, str]) -> list[_Object]:
    return [
        {"name": name, "digest": {"sha256": digest}}
        for name, digest in sorted(digests.items())
        if name not in UNLISTED and not name.startswith(VALIDATION)
    ]


def _image(name: str, image: Image, signers: Mapping[str, str]) -> _Object:
    if image.reference.startswith("file:"):
        uri = quote(image.reference, safe=":")
        return {"name": name, "uri": uri, "digest": digest_set(image.digest)}
    uri = package_url(image.reference, image.digest)
    told: _Object = {"name": name, "uri": uri, "digest": digest_set(image.digest)}
    if signer := signers.get(image.pinned):
        told["annotations"] = {"signedBy": signer}
    return told


def digest_set(digest: str) -> dict[str, str]:
    """Returns a digest (`sha256:…`) as statements have it."""
    return {"sha256": digest.removeprefix("sha256:")}


def package_url(reference: str, digest: str) -> str:
    """Returns an image's package URL in its canonical form; the reference has a tag, or none, and no digest."""
    folder, slash, last = reference.rpartition("/")
    name, _, tag = last.partition(":")  # a colon before the last slash is a port's
    where = f"repository_url={quote(f'{folder}{slash}{name}', safe=':')}" + (f"&tag={tag}" if tag else "")
    return f"pkg:oci/{name}@{digest}?{where}"


def provenance_problems(text: str, digests: Mapping[str, str], planned: Iterable[str] | None) -> Iterable[str]:
    """Yields where a statement is not of the files that are there; it must name those planned, or else all."""
    try:
        document = json.loads(text)
        subject = {one["name"]: one["digest"]["sha256"] for one in document["subject"]}
        inputs = document["predicate"]["buildDefinition"]["resolvedDependencies"]
        without = [str(one["name"]) for one in inputs if not one["digest"]]
        misplaced = [(str(one["name"]), one["uri"]) for one in inputs if one["digest"] and not _has_place(one)]
    except (ValueError, KeyError, TypeError) as error:
        yield f"{PROVENANCE}: no provenance statement: {type(error).__name__} {error}"
        return
    wanted = {one["name"]: one["digest"]["sha256"] for one in _subject(digests)}
    for name in sorted({*subject, *(wanted if planned is None else planned)}):
        if wanted.get(name) != subject.get(name):
            yield f"{PROVENANCE}: {name} is {wanted.get(name, 'not there')}, stated is {subject.get(name, 'nothing')}"
    for name in without:
        yield f"{PROVENANCE}: the input {name} has no digest"
    for name, uri in misplaced:
        yield f"{PROVENANCE}: the input {name} has no package URL of its digest: {uri!r}"


def _has_place(given: _Object) -> bool:
    """Tells whether an input can be found by its `uri`, if it has one; an image's need not be in the canonical form."""
    if "uri" not in given or str(given["uri"]).startswith(_NO_IMAGE):
        return True
    found = _IMAGE.fullmatch(unquote(str(given["uri"])))
    return found is not None and given["digest"] == digest_set(found["digest"])
