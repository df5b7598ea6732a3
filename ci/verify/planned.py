"""What the papers beside the assets tell of a plan (`ci.plan`), read from its JSON.

A plan comes as a JSON value, and says more than is told: what is not looked at may change its form.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

#: What the plan says of outputs that hold no initramfs.
_NO_INITRAMFS = "none"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Image(_Value):
    """An image by digest."""

    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The reference to pull: tag and digest."""
        return f"{self.reference}@{self.digest}"


class Origin(_Value):
    """Where CozyStack's checkout is from."""

    where: str
    release: str | None = None
    commit: str | None = None


class SourceDate(_Value):
    """The time that all timestamps are set to."""

    epoch: int
    source: str


class Extension(Image):
    """An extension that goes in."""

    name: str
    version: str
    source: str
    reason: str


class Dropped(_Value):
    """An extension of CozyStack's set that stays out."""

    name: str
    by: str
    reason: str


class Output(_Value):
    """What is built."""

    name: str
    initramfs: str


class SecureBoot(_Value):
    """What the boot images are signed for."""

    certificate: str


class Planned(_Value):
    """A plan, as far as it is told."""

    variant: str
    arch: str
    talos_version: str
    origin: Origin
    source_date: SourceDate
    imager: Image
    installer_base: Image
    catalog: Image | None
    extensions: tuple[Extension, ...]
    dropped: tuple[Dropped, ...]
    overlay: Image | None = None
    secure_boot: SecureBoot | None = None
    outputs: tuple[Output, ...]
    stand_in: bool = False

    @property
    def has_initramfs(self) -> bool:
        """Whether anything holds the initramfs, and the extensions with it."""
        return any(output.initramfs != _NO_INITRAMFS for output in self.outputs)

    @property
    def images(self) -> list[tuple[str, Image]]:
        """All that it is built from, with what it is for."""
        found: list[tuple[str, Image]] = [("imager", self.imager), ("installer base", self.installer_base)]
        found += [("catalog", self.catalog)] if self.catalog else []
        found += [(f"extension {extension.name}", extension) for extension in self.extensions]
        return found + ([("overlay", self.overlay)] if self.overlay else [])


def read_plan(plan: Any) -> Planned | None:
    """Returns what is told of a plan, `None` for a value that is none."""
    try:
        return Planned.model_validate(plan)
    except ValidationError:
        return None


def plan_id(plan: Any) -> str:
    """Returns the SHA-256 of a plan's canonical JSON, in hexadecimal: the id that `plan` shows."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
