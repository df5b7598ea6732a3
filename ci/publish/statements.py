"""What is attached to an image: the assets' SBOM, and their provenance as a statement about the image.

Annotations: `org.opencontainers.image.created` is the assets' time, so that the same documents have the same digests.
Media types: application/spdx+json (IANA), application/vnd.in-toto+json (in-toto attestation framework).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ci.common.canonical import json_bytes, timestamp
from ci.publish import cosign
from ci.publish.push import Artifact
from ci.report.provenance import package_url
from ci.verify.statement import STATEMENT_TYPE, digest_set

if TYPE_CHECKING:
    from ci.common.references import PinnedImage
    from ci.plan.model import Plan

#: Annotation of a signature: base64 of the SHA-256 of the key that it can be checked with.
KEY_HINT: Final = "io.cozystack.talos.key"

#: Annotation of a signature: what kind of statement is signed. It distinguishes an image's signatures.
PREDICATE: Final = "dev.sigstore.bundle.predicateType"

SBOM: Final = "application/spdx+json"
STATEMENT: Final = "application/vnd.in-toto+json"

#: What an SBOM is as the predicate of a statement (in-toto attestation framework).
_SPDX: Final = "https://spdx.dev/Document"


def _annotations(plan: Plan, title: str) -> dict[str, str]:
    return {
        "org.opencontainers.image.created": timestamp(plan.source_date.epoch),
        "org.opencontainers.image.title": title,
    }


def sbom(plan: Plan, document: str) -> Artifact:
    """Return the assets' SBOM, as it is."""
    return Artifact(SBOM, document.encode(), _annotations(plan, "sbom.spdx.json"))


def sbom_statement(digest: str, document: str) -> str:
    """Return an SBOM as a statement about an image: what cosign looks for with `--type spdxjson`."""
    subject, predicate = {"digest": digest_set(digest)}, json.loads(document)
    return json.dumps({"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": _SPDX, "predicate": predicate})


def provenance(plan: Plan, document: str, name: str, digest: str, base: PinnedImage | None) -> Artifact:
    """Return the assets' provenance with the image as its first subject.

    A base that the plan does not know (the netboot server's) is added to the inputs.
    """
    statement: dict[str, Any] = json.loads(document)
    subject = {"name": name, "digest": digest_set(digest)}
    statement["subject"] = [subject, *statement["subject"]]
    if base is not None:
        inputs = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        uri = package_url(base.reference, base.digest)
        inputs.append({"name": "base", "uri": uri, "digest": digest_set(base.digest)})
    kind = {"in-toto.io/predicate-type": statement["predicateType"]}
    return Artifact(STATEMENT, json_bytes(statement), _annotations(plan, "provenance.json") | kind)


def signature(plan: Plan, statement: str, bundle: str) -> Artifact:
    """Return a signed statement, as cosign 3 keeps it; its key is named, so that the same key need not sign twice."""
    hint = json.loads(bundle)["verificationMaterial"]["publicKey"]["hint"]
    annotations = {
        "org.opencontainers.image.created": timestamp(plan.source_date.epoch),
        "dev.sigstore.bundle.content": "dsse-envelope",
        PREDICATE: json.loads(statement)["predicateType"],
        KEY_HINT: hint,
    }
    return Artifact(cosign.BUNDLE, bundle.encode(), annotations)
