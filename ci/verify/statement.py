"""Provenance as it is read: an in-toto statement on files, with SLSA's provenance (slsa.dev/spec/v1.0/provenance)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ci.common.filenames import PROVENANCE, VALIDATION, checksummed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What every statement says it is (in-toto attestation framework).
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

#: An image's package URL, decoded: its name is the repository's last part. Inputs of other kinds begin otherwise.
_IMAGE = re.compile(
    r"pkg:oci/(?P<name>[^/:@?&]+)@(?P<digest>sha256:[0-9a-f]{64})"
    r"\?repository_url=[^@?&]+/(?P=name)(?:&tag=[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
)
_NO_IMAGE = ("file:", "git+")

_Object = dict[str, Any]


def subjects(digests: Mapping[str, str]) -> list[_Object]:
    """Return what a statement is on: every file but those that are written about the assets."""
    return [
        {"name": name, "digest": {"sha256": digest}}
        for name, digest in ((name, digests[name]) for name in checksummed(digests))
        if not name.startswith(VALIDATION)
    ]


def digest_set(digest: str) -> dict[str, str]:
    """Return a digest (`sha256:…`) as statements have it."""
    return {"sha256": digest.removeprefix("sha256:")}


def provenance_problems(text: str, digests: Mapping[str, str], planned: Iterable[str] | None) -> Iterable[str]:
    """Yield where a statement is not of the files that are there; it must name those planned, or else all."""
    try:
        document = json.loads(text)
        subject = {one["name"]: one["digest"]["sha256"] for one in document["subject"]}
        inputs = document["predicate"]["buildDefinition"]["resolvedDependencies"]
        without = [str(one["name"]) for one in inputs if not one["digest"]]
        misplaced = [(str(one["name"]), one["uri"]) for one in inputs if one["digest"] and not _has_place(one)]
    except (ValueError, KeyError, TypeError) as error:
        yield f"{PROVENANCE}: no provenance statement: {type(error).__name__} {error}"
        return
    if not inputs:
        yield f"{PROVENANCE}: it states no input"
    wanted = {one["name"]: one["digest"]["sha256"] for one in subjects(digests)}
    for name in sorted({*subject, *(wanted if planned is None else planned)}):
        if wanted.get(name) != subject.get(name):
            yield f"{PROVENANCE}: {name} is {wanted.get(name, 'not there')}, stated is {subject.get(name, 'nothing')}"
    for name in without:
        yield f"{PROVENANCE}: the input {name} has no digest"
    for name, uri in misplaced:
        yield f"{PROVENANCE}: the input {name} has no package URL of its digest: {uri!r}"


def _has_place(given: _Object) -> bool:
    """Say whether an input can be found by its `uri`, if it has one; an image's need not be in the canonical form."""
    if "uri" not in given or str(given["uri"]).startswith(_NO_IMAGE):
        return True
    found = _IMAGE.fullmatch(unquote(str(given["uri"])))
    return found is not None and given["digest"] == digest_set(found["digest"])
