"""The images that are made of a variant's assets: what each holds, what it says of itself, how it is called.

Names follow CozyStack's own: its installer is `talos`, its netboot server `matchbox`. Every tag names variant, Talos
and CozyStack, so that no node upgrades into another kind's image by mistake.

    tag     = variant "-" talos "-" cozystack ["-secureboot"]     spin-only-v1.13.6-v1.6.2
    channel = [a-z] [a-z0-9]*, no v1, not secureboot              its tag is variant "-" channel ["-secureboot"]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common import pins
from ci.common.canonical import timestamp
from ci.common.errors import UserError, suggest
from ci.common.filenames import CHECKSUMS, STAND_IN
from ci.common.oci import ArtifactFile, ImageSpec
from ci.plan.outputs import NETBOOT, parse_outputs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.common.references import PinnedImage
    from ci.plan.model import Plan

_OCI: Final = "org.opencontainers.image"
#: Of this project's own labels; `stand-in` is the lab's.
_OWN: Final = "io.cozystack.talos"
VARIANT: Final = f"{_OWN}.variant"
PLAN: Final = f"{_OWN}.plan"
#: SHA-256 of the certificate that the boot images are signed for.
SECURE_BOOT: Final = f"{_OWN}.secureboot"


#: Keys that every image of this project has, as labels and as annotations.
REPEATED: Final = (
    *(f"{_OCI}.{key}" for key in ("title", "description", "version", "created")),
    *(f"{_OWN}.{key}" for key in ("variant", "role", "extensions", "plan")),
)
#: All keys of this project's own.
OWN_KEYS: Final = (
    *(f"{_OWN}.{key}" for key in ("variant", "role", "extensions", "cozystack", "plan", "secureboot")),
    pins.STAND_IN_LABEL,
)
#: The keys of the OCI image specification that images may have.
OCI_KEYS: Final = (
    *(f"{_OCI}.{key}" for key in ("title", "description", "version", "created", "source", "revision")),
    *(f"{_OCI}.base.{key}" for key in ("name", "digest")),
)

_SIGNED: Final = "secureboot"
_CHANNEL: Final = re.compile(rf"(?!v[0-9]|{_SIGNED}\Z)[a-z][a-z0-9]*")
#: What a tag may hold; its length is 128 at most.
_NOT_IN_TAGS: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_COMMIT: Final = 12


@dataclass(frozen=True)
class ImageKind:
    """One row of the table of images."""

    name: str
    #: Last part of the repository's name.
    repository: str
    title: str
    #: Outputs that go into it; empty: those that the user asks for.
    outputs: tuple[str, ...]

    def wanted(self, asked: Iterable[str] | None) -> Iterable[str]:
        """Return the outputs to build for it, where `asked` are those that the user asks for."""
        return self.outputs or asked or NETBOOT


KINDS: Final = {
    kind.name: kind
    for kind in (
        ImageKind("installer", "talos", "Talos installer", ("installer",)),
        ImageKind("assets", "talos-assets", "Talos boot assets", ()),
        ImageKind("matchbox", "matchbox", "Matchbox with Talos boot assets", NETBOOT),
    )
}


#: Name of the artifact with disk images, which is made where it is asked for.
DISKS: Final = "disks"
DISKS_TYPE: Final = "application/vnd.cozystack.talos.disk-images"


def parse_disks(names: Iterable[str]) -> ImageKind:
    """Return the artifact that holds these outputs; raises `UserError` for others than disk images and ISOs."""
    outputs = parse_outputs(names)
    for output in outputs:
        if not output.kind.disk and output.kind.imager_kind != "iso":
            raise UserError(f"{output.name} is no disk image: --disk-images takes those, and ISOs, as oracle.qcow2,iso")
    return ImageKind(DISKS, "talos-disks", "Talos disk images", tuple(output.name for output in outputs))


def parse_kinds(names: Iterable[str]) -> tuple[ImageKind, ...]:
    """Read images' names into the table's order; commas separate too. Raises `UserError` for others, and for none."""
    asked = {part.strip() for name in names for part in name.split(",") if part.strip()}
    for name in sorted(asked - set(KINDS)):
        raise UserError(f"unknown image {name!r}: {suggest(name, KINDS)}")
    if not asked:
        raise UserError(f"no image is asked for: choose from {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS.values() if kind.name in asked)


def parse_channel(text: str) -> str:
    """Read a channel's name, such as `stable`."""
    if not _CHANNEL.fullmatch(text):
        raise UserError(
            f"bad channel {text!r}: it begins with a-z and goes on with a-z and 0-9, such as stable, and is not "
            f"{_SIGNED!r}, which tags of images for secure boot end with"
        )
    return text


def release_tag(plan: Plan) -> str:
    """Return the tag of a plan's images; where no release is known it has the commit, or says `local`."""
    commit = plan.origin.commit
    cozystack = plan.origin.release or (commit[:_COMMIT] if commit else "local")
    tag = _NOT_IN_TAGS.sub("-", f"{plan.variant}-{plan.talos_version}-{cozystack}") + _suffix(plan)
    if len(tag) > 128:
        raise UserError(f"the tag {tag} has {len(tag)} characters, 128 are possible: give the variant a shorter name")
    return tag


def channel_tag(plan: Plan, channel: str) -> str:
    """Return the tag that follows a channel: it moves from release to release."""
    return f"{plan.variant}-{channel}{_suffix(plan)}"


def _suffix(plan: Plan) -> str:
    """Return the end of the tags of images that boot with secure boot only where their keys are enrolled."""
    return f"-{_SIGNED}" if plan.secure_boot else ""


def variant_of(tag: str, variants: Iterable[str]) -> str | None:
    """Return which of `variants` a tag is of, `None` for a tag that begins with none of them."""
    # One name may begin another: the longest counts.
    return max((name for name in variants if f"{tag}-".startswith(f"{name}-")), key=len, default=None)


def labels(plan: Plan, kind: ImageKind, base: PinnedImage | None) -> dict[str, str]:
    """Return what an image says of itself, as labels and as annotations.

    The keys of `org.opencontainers.image` are the OCI image specification's. `revision` and `source` are CozyStack's
    commit and repository; the plan's id is what `plan` prints.
    """
    stand_in = "STAND-IN: " if plan.stand_in else ""
    said = {
        f"{_OCI}.title": f"{kind.title} ({plan.variant})",
        f"{_OCI}.description": f"{stand_in}{kind.title}, Talos {plan.talos_version}: {plan.description}",
        f"{_OCI}.version": plan.talos_version,
        f"{_OCI}.created": timestamp(plan.source_date.epoch),
        f"{_OCI}.source": plan.origin.where if "://" in plan.origin.where else None,
        f"{_OCI}.revision": plan.origin.commit,
        f"{_OCI}.base.name": base.reference if base else None,
        f"{_OCI}.base.digest": base.digest if base else None,
        VARIANT: plan.variant,
        f"{_OWN}.role": plan.role,
        f"{_OWN}.extensions": ",".join(f"{entry.name}:{entry.version}" for entry in plan.extensions),
        f"{_OWN}.cozystack": plan.origin.release,
        PLAN: plan.id,
        SECURE_BOOT: plan.secure_boot.certificate if plan.secure_boot else None,
        pins.STAND_IN_LABEL: "true" if plan.stand_in else None,
    }
    return {key: value for key, value in said.items() if value is not None}


def image_spec(plan: Plan, kind: ImageKind, base: PinnedImage | None = None) -> ImageSpec:
    """Return what `ci.steps.oci` needs to know to make an image."""
    spec = ImageSpec(arch=plan.arch, created=plan.source_date.epoch, labels=labels(plan, kind, base))
    if kind.name != DISKS:
        return spec
    files = [ArtifactFile(path=output.path, media_type=output.media_type) for output in plan.outputs]
    return spec.model_copy(
        update={
            "artifact_type": DISKS_TYPE,
            "files": (*files, *(ArtifactFile(path=name, media_type="text/plain") for name in beside(plan))),
        }
    )


def beside(plan: Plan) -> tuple[str, ...]:
    """Return the files that go with disk images: their checksums, and what says that they are stand-ins."""
    return (CHECKSUMS, *([STAND_IN] if plan.stand_in else []))
