"""`validation/provenance.json`: which inputs, each with its digest, became which files.

An unsigned in-toto statement (in-toto.io/Statement/v1) with SLSA's provenance (slsa.dev/spec/v1.0/provenance). Images
are named by package URLs of type `oci` (the purl specification's PURL-TYPES).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ci.verify.statement import STATEMENT_TYPE, digest_set, subjects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.common.references import PinnedImage
    from ci.plan.model import Plan
    from ci.resolve.model import PlannedExtension

_BUILD_TYPE = "urn:cozystack-talos:build:v1"
_BUILDER = "urn:cozystack-talos:builder"

_Object = dict[str, Any]


def make_provenance(digests: Mapping[str, str], plan: Plan, signers: Mapping[str, str] | None = None) -> _Object:
    """Return the statement on files by digest: that the plan's inputs became them.

    `signers` are those whose signatures were found, by reference with digest.
    """
    dependencies: list[_Object] = [{"name": "plan", "digest": {"sha256": plan.id}}]
    if plan.origin.commit:
        upstream: _Object = {"name": "upstream", "digest": {"gitCommit": plan.origin.commit}}
        if "://" in plan.origin.where:
            upstream["uri"] = f"git+{plan.origin.where}"
        dependencies.append(upstream)
    dependencies += [_image(name, image, signers or {}) for name, image in plan.images]
    parameters = {"variant": plan.variant, "arch": plan.arch.value, "upstream": plan.origin.where}
    if plan.origin.release:
        parameters["release"] = plan.origin.release
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects(digests),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {**parameters, "outputs": [output.name for output in plan.outputs]},
                "internalParameters": {
                    "talosVersion": plan.talos_version,
                    "standIn": plan.stand_in,
                    **({"caveats": list(plan.caveats)} if plan.caveats else {}),
                },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": _BUILDER}},
        },
    }


def _image(name: str, image: PinnedImage | PlannedExtension, signers: Mapping[str, str]) -> _Object:
    if image.reference.startswith("file:"):
        uri = quote(image.reference, safe=":")
        return {"name": name, "uri": uri, "digest": digest_set(image.digest)}
    uri = package_url(image.reference, image.digest)
    told: _Object = {"name": name, "uri": uri, "digest": digest_set(image.digest)}
    if signer := signers.get(image.pinned):
        told["annotations"] = {"signedBy": signer}
    return told


def package_url(reference: str, digest: str) -> str:
    """Return an image's package URL in its canonical form; the reference has a tag, or none, and no digest."""
    folder, slash, last = reference.rpartition("/")
    name, _, tag = last.partition(":")  # a colon before the last slash is a port's
    where = f"repository_url={quote(f'{folder}{slash}{name}', safe=':')}" + (f"&tag={tag}" if tag else "")
    return f"pkg:oci/{name}@{digest}?{where}"
