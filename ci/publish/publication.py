"""What was published, and what to do with it, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.common.values import Value
from ci.plan.quirks import quirks
from ci.report.schematic import schematic, schematic_as, schematic_id
from ci.report.tables import Format, document_as, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci.plan.model import Plan


class Referrer(Value):
    """A document that is attached to an image."""

    artifact_type: str
    digest: str
    #: What kind of statement is signed, where it is a signature.
    predicate_type: str | None = None


class PublishedPlatform(Value):
    """An image of one platform."""

    platform: str
    digest: str
    plan: str
    referrers: tuple[Referrer, ...]


class PublishedTag(Value):
    """A tag, and what it named before; the same digest where it did not move."""

    tag: str
    before: str | None


class PublishedImage(Value):
    """An image in its repository."""

    image: str
    repository: str
    #: Of the image, or of the index of all platforms.
    digest: str
    tags: tuple[PublishedTag, ...] = ()
    platforms: tuple[PublishedPlatform, ...]
    #: Of the index.
    referrers: tuple[Referrer, ...] = ()
    sent_blobs: int = 0
    sent_bytes: int = 0
    sent_manifests: int = 0

    @property
    def reference(self) -> str:
        """The reference to pull: release tag and digest."""
        return f"{self.repository}:{self.tags[0].tag}@{self.digest}"


def upgrade_line(image: PublishedImage) -> str:
    """Return the command by which a node takes an installer."""
    return f"talosctl upgrade --nodes NODE --image {image.reference}"


#: Of an index of netboot servers: a registry gives each machine the image that the machine itself can run.
_SERVES_ITS_OWN: Final = (
    "the machine that runs this image takes the one of its own architecture, and serves kernel and initramfs of that "
    "alone: for others see docs/publish.md, Several architectures"
)


def _notes(image: PublishedImage) -> list[str]:
    if image.image == "disks":
        several = ", with --platform linux/arm64 or linux/amd64" if len(image.platforms) > 1 else ""
        return [f"`oras pull` with this reference gets the files{several}"]
    return [_SERVES_ITS_OWN] if image.image == "matchbox" and len(image.platforms) > 1 else []


def publication_as(images: Sequence[PublishedImage], plan: Plan, form: Format) -> str:
    """Return what was published, in a format; `plan` is that of the schematic."""
    installers = [image for image in images if image.image == "installer"]
    if form is not Format.TEXT:
        named = schematic(plan)
        document = {
            "images": [{**image.model_dump(mode="json"), "reference": image.reference} for image in images],
            "upgrade": [upgrade_line(image) for image in installers],
            "install": [image.reference for image in installers],
            "notes": [note for image in images for note in _notes(image)],
            "schematic": {"id": schematic_id(named), **named},
        }
        return document_as(document, form)
    lines: list[str] = []
    for image in images:
        lines += [*_lines(image), ""]
    if installers:
        lines += [f"to upgrade nodes of the role {plan.role!r}, and no others:", ""]
        for image in installers:
            tagged, digest = _halves(image)
            lines += ["talosctl upgrade --nodes NODE --image \\", f"  {tagged}\\", digest, ""]
        lines += ["to install them, in their machine configuration", "(machine-config writes it: --installer):", ""]
        lines += [line for form, told in _forms(plan) for line in (*told, *_configured(installers, form))]
    return "\n".join([*lines, schematic_as(plan, Format.TEXT)])


#: How a configuration names the installer, in each of its two forms (`Quirks.has_documents`).
_FIELD: Final = "machine:\n  install:\n    image: "
_DOCUMENT: Final = "apiVersion: v1alpha1\nkind: UnattendedInstallConfig\ninstaller:\n  image: "


def _halves(image: PublishedImage) -> tuple[str, str]:
    """Return a reference in two: a line of 80 columns does not hold it, and shell and YAML put both together again."""
    tagged, at, digest = image.reference.partition("@")
    return tagged, at + digest


def _forms(plan: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the lines before an installer's reference in a configuration, and for which configurations they are."""
    if quirks(plan.talos_version).has_documents:
        yield _DOCUMENT, ("in one that talosctl made from v1.14 on (a patch has to select the disk too):", "")
        yield _FIELD, ("in one that talosctl made before v1.14, or talm:", "")
    else:
        yield _FIELD, ()


def _configured(installers: Iterable[PublishedImage], form: str) -> Iterator[str]:
    indent = " " * (form.splitlines()[-1].index("image") + 2)
    for image in installers:
        tagged, digest = _halves(image)
        yield from (f'{form}"{tagged}\\', f'{indent}{digest}"', "")


def _attached(referrer: Referrer, indent: int) -> Iterator[str]:
    signed = f", signs {referrer.predicate_type}" if referrer.predicate_type else ""
    yield wrapped(f"{referrer.artifact_type}{signed}", indent + 2, " " * indent)
    yield f"{' ' * indent}  {referrer.digest}"


def _lines(image: PublishedImage) -> Iterator[str]:
    yield f"{image.image}: {image.repository}"
    yield f"  {image.digest}"
    for tag in image.tags:
        unmoved = ", as before" if tag.before == image.digest else ""
        yield f"  tag {tag.tag}{unmoved}"
        if tag.before not in (None, image.digest):
            yield "    moved from"
            yield f"      {tag.before}"
    for platform in image.platforms:
        yield f"  {platform.platform}"
        yield f"    {platform.digest}"
        yield f"    plan {platform.plan}"
        for one in platform.referrers:
            yield from _attached(one, 4)
    for one in image.referrers:
        yield from _attached(one, 2)
    yield from (wrapped(f"note: {note}", 4, "  ") for note in _notes(image))
    if image.sent_blobs or image.sent_manifests:
        sent = f"{image.sent_blobs} blobs ({image.sent_bytes / 1e6:.1f} MB), {image.sent_manifests} manifests and tags"
        yield f"  sent: {sent}"
    else:
        yield "  nothing was sent: the registry had all of it"
