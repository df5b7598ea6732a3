"""Names of blobs in files that hold container images, and the digests that are in the names."""

from __future__ import annotations

import re

_DIGEST = re.compile(r"(?:^|[/:])([0-9a-f]{64})(?:\.tar(?:\.gz)?|\.json)?$")


def blob_of(digest: str) -> str:
    """Returns where an OCI layout has the blob of a digest (`sha256:…`)."""
    return "blobs/" + digest.replace(":", "/", 1)


def claimed_digest(blob: str) -> str | None:
    """Returns the digest that a blob's name claims, in hexadecimal, if it is one of the usual names."""
    found = _DIGEST.search(blob)
    return found[1] if found else None
