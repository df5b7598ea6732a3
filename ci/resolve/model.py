"""What resolving hands on: extensions by digest, those that are left out, and images that have to be looked up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ci.common.references import Reference
from ci.common.values import Value


class Source(StrEnum):
    """Who chose an extension's image."""

    #: CozyStack pins it.
    UPSTREAM = "upstream"
    #: The catalog of the Talos version has it.
    CATALOG = "catalog"
    #: The variant names its own version or image.
    OWN = "own"
    #: The user gave a file.
    FILE = "file"


class FileExtension(Value):
    """An extension in a file on the user's machine."""

    #: Name and version as its manifest says them.
    name: str
    version: str
    #: The file's name, without its folder.
    file: str
    #: Of the file.
    digest: str

    @property
    def reference(self) -> Reference:
        """What is shown where other extensions have their image."""
        return Reference(f"file:{self.file}", digest=self.digest)


class PlannedExtension(Value):
    """An extension that goes into the initramfs."""

    name: str
    version: str
    #: With tag, without digest; `file:NAME` for one in a file.
    reference: str
    #: Of the image, or of the file.
    digest: str
    source: Source
    reason: str

    @property
    def pinned(self) -> str:
        """The reference to pull: tag and digest."""
        return f"{self.reference}@{self.digest}"


class DroppedBy(StrEnum):
    """Who leaves an extension out."""

    ARCHITECTURE = "architecture"
    VARIANT = "variant"


class Dropped(Value):
    """An extension of upstream's set that stays out."""

    name: str
    reference: str
    by: DroppedBy
    reason: str


class ImageUse(StrEnum):
    """What an image that has to be looked up is for; an extension's is `extension/<name>`."""

    IMAGER = "imager"
    INSTALLER_BASE = "installer-base"
    CATALOG = "catalog"


@dataclass(frozen=True)
class Need:
    """An image whose digest has to be found: the first of the candidates that exists."""

    use: str
    candidates: tuple[Reference, ...]
