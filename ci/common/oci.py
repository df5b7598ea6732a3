"""What an image is to be, apart from its files; and the media types of its parts."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from ci.common.arch import Arch
from ci.common.values import Value

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
#: Annotation of a layer that is a file: its path, under which `oras pull` writes it.
TITLE: Final = "org.opencontainers.image.title"


class ArtifactFile(Value):
    """A file of an artifact."""

    path: str
    media_type: str


def _is_empty(value: object) -> bool:
    return not value


class ImageSpec(Value):
    """An image of one platform. The same words are labels, which tools for containers show, and annotations."""

    arch: Arch
    #: Seconds since 1970.
    created: int
    labels: dict[str, str]
    #: Of what is no image but an artifact (OCI image specification 1.1): what kind it is, and the files that it holds.
    artifact_type: str = Field(default="", exclude_if=_is_empty)
    files: tuple[ArtifactFile, ...] = Field(default=(), exclude_if=_is_empty)
