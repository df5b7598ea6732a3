"""Every image, release and address that this project names by itself, in one place.

All else comes from the CozyStack checkout and from the extension catalog of its Talos version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Release:
    """A CozyStack release: tag, the commit that it names, and that commit's date in seconds since 1970."""

    tag: str
    commit: str
    date: int


#: Where CozyStack's releases come from when no checkout is given.
COZYSTACK_GIT: Final = "https://github.com/cozystack/cozystack"

#: The release that is built when none is named: the newest that the tests know.
DEFAULT_RELEASE: Final = Release("v1.6.2", "bfde94fd26d35c5f0281a1285f194e7ca3041b6a", 1787125936)

#: The oldest release that is supported.
OLDEST_RELEASE: Final = Release("v0.38.2", "c7f478fc7d38ad638f07fa604b7fc95f3613a82b", 1764618566)

#: Releases whose commit and date are known without asking.
KNOWN_RELEASES: Final = {release.tag: release for release in (DEFAULT_RELEASE, OLDEST_RELEASE)}

#: 2025-01-01T00:00:00Z, for a checkout that does not tell its commit's date.
FALLBACK_EPOCH: Final = 1735689600

#: Image that turns a profile into boot assets; its tag is the Talos version. CozyStack's Makefile names it likewise.
IMAGER: Final = "ghcr.io/siderolabs/imager"

#: Image that lists the extensions made for a Talos version; its tag is the Talos version.
EXTENSION_CATALOG: Final = "ghcr.io/siderolabs/extensions"

#: The netboot server that CozyStack puts its assets on, for a checkout that does not say which (its Dockerfile does).
MATCHBOX: Final = (
    "quay.io/poseidon/matchbox:v0.11.0@sha256:06bcdae85335fd00e8277b007b55cfb49d96a0114628c0f70db2b92b079d246a"
)

#: Python in which files are read and tests run.
PYTHON: Final = (
    "docker.io/library/python:3.13-slim-trixie@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6"
)

#: A shell without dependencies, for images that have none.
BUSYBOX: Final = (
    "docker.io/library/busybox:1.37.0-musl@sha256:1256f55742579badea94e3e2f574fc90021120f6c1aa01c87182566dfb950c39"
)

#: The program that makes and checks images' signatures.
COSIGN: Final = (
    "ghcr.io/sigstore/cosign/cosign:v3.1.3@sha256:9e5c2f2edc34351160407ca3416c61855bdf9403c3c5936e0f0be7fc261611b8"
)

#: The program that lists what is in an image, and reads its manifest and configuration.
CRANE: Final = (
    "gcr.io/go-containerregistry/crane:v0.22.1@sha256:1f968817b95790bed063f71175aa6b8ff879fa17064020415f3e18bb6e6a36e1"
)

#: The program that renders charts.
HELM: Final = "docker.io/alpine/helm:4.2.2@sha256:ee6fe3e96d9f8ea8dd1af9ecd7bbb3e233616a25f145392376f020fd2a51eb33"

#: The images that work on what others make, each by the digest of an index with arm64 and amd64; `update` renews them.
TOOLS: Final = (PYTHON, BUSYBOX, COSIGN, CRANE, HELM)

#: The files that name them.
NAMED_IN: Final = (
    "ci/common/pins.py",
    "pyproject.toml",
    "bench/upstream_way.py",
    "embedded/lab/published.py",
)

#: Config label (and manifest annotation) of images that stand in for the published ones.
STAND_IN_LABEL: Final = "io.cozystack.talos.stand-in"
