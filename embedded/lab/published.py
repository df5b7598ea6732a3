"""The published images that are named by tag and digest, and that the lab stands in for all the same.

The lab's image has another digest, so what is pulled is the lab's image of that tag. Any other digest is what it says.
"""

from __future__ import annotations

from typing import Final

PYTHON: Final = (
    "docker.io/library/python:3.13-slim-trixie@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6"
)
BUSYBOX: Final = (
    "docker.io/library/busybox:1.37.0-musl@sha256:1256f55742579badea94e3e2f574fc90021120f6c1aa01c87182566dfb950c39"
)
COSIGN: Final = (
    "ghcr.io/sigstore/cosign/cosign:v3.1.3@sha256:9e5c2f2edc34351160407ca3416c61855bdf9403c3c5936e0f0be7fc261611b8"
)
CRANE: Final = (
    "gcr.io/go-containerregistry/crane:v0.22.1@sha256:1f968817b95790bed063f71175aa6b8ff879fa17064020415f3e18bb6e6a36e1"
)
HELM: Final = "docker.io/alpine/helm:4.2.2@sha256:ee6fe3e96d9f8ea8dd1af9ecd7bbb3e233616a25f145392376f020fd2a51eb33"

STOOD_IN_FOR: Final = frozenset({PYTHON, BUSYBOX, COSIGN, CRANE, HELM})


def tagged(reference: str) -> str:
    """Return a reference without its digest."""
    return reference.partition("@")[0]
