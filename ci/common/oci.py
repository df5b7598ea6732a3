"""What an image is to be, apart from its files; and the media types of its parts."""

from __future__ import annotations

from typing import Final

from ci.common.arch import Arch
from ci.common.values import Value

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


class ImageSpec(Value):
    """An image of one platform. The same words are labels, which tools for containers show, and annotations."""

    arch: Arch
    #: Seconds since 1970.
    created: int
    labels: dict[str, str]
