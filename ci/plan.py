"""The plan: variant, upstream and catalog as one value that says everything the pipeline does, and why.

wanted  = Request(…)
needs   = image_needs(wanted, catalog)           which tags have to be looked up
found   = await resolve_all(needs, resolver)     their (ci.resolve) digests
plan    = make_plan(wanted, catalog, found)      pure: same arguments, equal plan
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, cast

import yaml
from pydantic import ValidationError

from ci import extensions, pins
from ci.arch import Arch
from ci.errors import NotResolvedError, PlanError
from ci.extensions import Dropped, FileExtension, PlannedExtension
from ci.model import Value
from ci.outputs import Compression, Initramfs, Layout, Output
from ci.references import Reference, parse_reference
from ci.variant import Meta
from ci.verify.planned import plan_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.catalog import Catalog
    from ci.upstream import Upstream
    from ci.variant import Variant

#: Bumped when a field changes its meaning.
FORMAT = 1


class Image(Value):
    """An image of which the digest is known."""

    #: With tag, without digest.
    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The reference to pull: tag and digest."""
        return f"{self.reference}@{self.digest}"


class Origin(Value):
    """Where the CozyStack checkout is from."""

    #: A path, or a git URL.
    where: str
    #: CozyStack's tag.
    release: str | None = None
    commit: str | None = None


class SourceDate(Value):
    """The time that all timestamps in the outputs are set to."""

    #: Seconds since 1970.
    epoch: int
    #: Where it comes from, in words.
    source: str


class PlannedOverlay(Image):
    """A board's overlay: one image by digest, of which two platforms are needed."""

    #: Of the installer in the image.
    name: str
    #: Where the imager runs it.
    host_platform: str
    #: What goes into the installer.
    platform: str
    options: dict[str, Any]


class SecureBoot(Value):
    """Signatures for secure boot; the keys themselves are secrets, and in no plan."""

    #: SHA-256 of the certificate that the boot images are signed for, in hexadecimal.
    certificate: str
    #: Whether keys of one's own are enrolled, instead of those that the imager makes of the certificate.
    own_enrolment: bool = False


class PlannedOutput(Value):
    """One imager run, and where its result goes."""

    name: str
    imager_kind: str
    platform: str
    #: Name below the imager's `/out`.
    imager_file: str
    #: Path below the folder of the layout.
    path: str
    media_type: str
    initramfs: Initramfs
    compression: Compression
    #: Whether the installer base goes in.
    base_installer: bool
    #: Bytes, disk images only; the imager adds 1000 MiB.
    disk_size: int | None = None
    extra_kernel_args: tuple[str, ...] = ()
    meta: tuple[Meta, ...] = ()
    #: Whether the board's overlay goes in.
    overlay: bool = False
    #: Whether it is signed for secure boot.
    signed: bool = False
    #: Why the exec has to be privileged; `None` where it does not.
    privileged: str | None = None
    #: What a reader should know of this output.
    notes: tuple[str, ...] = ()


class Plan(Value):
    """Everything that a build does. Compares whole; goes to JSON or YAML and back."""

    format: int = FORMAT
    variant: str
    description: str
    role: str
    arch: Arch
    talos_version: str
    origin: Origin
    #: Folder of upstream's sources in the checkout.
    upstream_layout: str
    source_date: SourceDate
    imager: Image
    installer_base: Image
    #: `None` where nothing is taken from it.
    catalog: Image | None
    #: In the order in which the imager gets them.
    extensions: tuple[PlannedExtension, ...]
    dropped: tuple[Dropped, ...]
    #: Words that no name in the initramfs may have in it.
    absent: tuple[str, ...]
    overlay: PlannedOverlay | None = None
    secure_boot: SecureBoot | None = None
    layout: Layout
    outputs: tuple[PlannedOutput, ...]
    #: Whether upstream's images are stand-ins from the lab.
    stand_in: bool = False

    @property
    def id(self) -> str:
        """SHA-256 of the plan's canonical JSON, in hexadecimal: equal plans have equal ids."""
        return plan_id(self.model_dump(mode="json"))

    @property
    def builds_initramfs(self) -> bool:
        """Whether any output is, or embeds, the initramfs."""
        return any(output.initramfs is not Initramfs.NONE for output in self.outputs)

    def to_json(self) -> str:
        """Return the plan as JSON text, with a newline at its end."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def to_yaml(self) -> str:
        """Return the plan as YAML text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `to_json` or `to_yaml` wrote; raises `PlanError` for anything else."""
        try:
            # JSON is YAML; the profiles that a printed plan carries follow from the rest.
            data: Any = yaml.safe_load(text)
            if isinstance(data, dict):
                cast("dict[str, Any]", data).pop("profiles", None)
            return cls.model_validate(data)
        except (yaml.YAMLError, ValidationError) as error:
            raise PlanError(f"not a plan: {error}") from None


@dataclass(frozen=True)
class Request:
    """What is asked for, loaded and parsed."""

    variant: Variant
    arch: Arch
    upstream: Upstream
    origin: Origin
    source_date: SourceDate
    outputs: tuple[Output, ...]
    layout: Layout = Layout.BOOT
    #: Extensions that the user gave as files.
    files: tuple[FileExtension, ...] = ()
    secure_boot: SecureBoot | None = None
    #: The platform that the imager runs on; it matters where an overlay has to run there too.
    host_platform: str = "linux/amd64"


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


def choose_source_date(given: int | None, origin: Origin, commit_date: int | None) -> SourceDate:
    """Choose the time of all timestamps: the one given, else the commit's, a known release's, or a fixed one."""
    if given is not None:
        if not 0 <= given < 2**31:  # GraphQL's integers reach no further
            raise PlanError(f"bad source date epoch {given}: it is in seconds since 1970, from 0 to {2**31 - 1}")
        return SourceDate(epoch=given, source="given")
    if commit_date is not None:
        return SourceDate(epoch=commit_date, source=f"date of commit {origin.commit or 'of the checkout'}")
    for release in pins.KNOWN_RELEASES.values():
        if origin.commit == release.commit:
            return SourceDate(epoch=release.date, source=f"date of {release.tag}'s commit {release.commit}")
    return SourceDate(epoch=pins.FALLBACK_EPOCH, source="fixed: the checkout does not tell its commit's date")


def catalog_need(request: Request) -> Need | None:
    """Return the catalog image to look up, or `None` where the variant takes nothing from it."""
    given = {file.name for file in request.files}
    if all(added.reference or added.name in given for added in request.variant.spec.extensions.add):
        return None
    return catalog_of(request.upstream)


def catalog_of(upstream: Upstream) -> Need:
    """Return the catalog image of a Talos version."""
    return Need(ImageUse.CATALOG, (Reference(pins.EXTENSION_CATALOG, upstream.talos_version),))


def release_needs(upstream: Upstream) -> tuple[Need, ...]:
    """Return the images of a Talos release that are known by tag only."""
    return (
        Need(ImageUse.IMAGER, (Reference(pins.IMAGER, upstream.talos_version),)),
        Need(ImageUse.INSTALLER_BASE, _installer_bases(upstream)),
    )


def extension_needs(request: Request, catalog: Catalog | None) -> tuple[Need, ...]:
    """Return the extensions known by tag only; raises for a variant that does not go with upstream or catalog."""
    chosen = extensions.choose(request.variant, request.arch, request.upstream, catalog, request.files)
    return tuple(Need(_use(entry.name), (entry.reference,)) for entry in chosen.kept if entry.reference.digest is None)


def _use(extension: str) -> str:
    return f"extension/{extension}"


def _installer_bases(upstream: Upstream) -> tuple[Reference, ...]:
    """Where upstream names the installer itself, its base comes first: what the installer adds is made here."""
    named = upstream.base_installer
    if named.digest is None and named.name == "installer":
        return Reference(f"{named.namespace}/installer-base", named.tag), named
    return (named,)


def make_plan(request: Request, catalog: Catalog | None, found: Mapping[str, Image], *, stand_in: bool = False) -> Plan:
    """Make the plan from what was loaded and looked up.

    Raises `VariantError` where the variant does not go with architecture, upstream or catalog, `NotResolvedError`
    where a need was not looked up, `PlanError` where no output can take what the variant asks for.
    """
    variant, upstream = request.variant, request.upstream
    chosen = extensions.choose(variant, request.arch, upstream, catalog, request.files)
    spec = variant.spec
    return Plan(
        variant=variant.name,
        description=spec.description,
        role=spec.role,
        arch=request.arch,
        talos_version=upstream.talos_version,
        origin=request.origin,
        upstream_layout=upstream.layout,
        source_date=request.source_date,
        imager=_looked_up(ImageUse.IMAGER, found),
        installer_base=_looked_up(ImageUse.INSTALLER_BASE, found),
        catalog=_looked_up(ImageUse.CATALOG, found) if catalog_need(request) else None,
        extensions=tuple(_pin(entry, found) for entry in chosen.kept),
        dropped=chosen.dropped,
        absent=spec.absent,
        overlay=_overlay(request),
        secure_boot=request.secure_boot,
        layout=request.layout,
        outputs=_outputs(request),
        stand_in=stand_in,
    )


def as_image(reference: Reference) -> Image:
    """Return a pinned reference as an image."""
    assert reference.digest is not None
    return Image(reference=reference.tagged, digest=reference.digest)


def _looked_up(use: str, found: Mapping[str, Image]) -> Image:
    if use not in found:
        raise NotResolvedError(f"{use}: its digest was not looked up")
    return found[use]


def _pin(entry: extensions.Chosen, found: Mapping[str, Image]) -> PlannedExtension:
    reference = entry.reference
    image = as_image(reference) if reference.digest else _looked_up(_use(entry.name), found)
    return PlannedExtension(
        name=entry.name,
        version=entry.version or parse_reference(image.pinned).tag or image.digest,
        reference=image.reference,
        digest=image.digest,
        source=entry.source,
        reason=entry.reason,
    )


def _overlay(request: Request) -> PlannedOverlay | None:
    wanted = request.variant.spec.overlay
    if wanted is None:
        return None
    image = as_image(parse_reference(wanted.image))
    return PlannedOverlay(
        name=wanted.name,
        reference=image.reference,
        digest=image.digest,
        host_platform=request.host_platform,
        platform=request.arch.platform,
        options=wanted.options,
    )


def _outputs(request: Request) -> tuple[PlannedOutput, ...]:
    planned = tuple(_output(output, request) for output in request.outputs)
    spec, asked = request.variant.spec, ", ".join(output.name for output in request.outputs)
    if spec.extra_kernel_args and not any(output.kind.takes_kernel_args for output in request.outputs):
        raise request.variant.error(
            ("extraKernelArgs",),
            f"none of the outputs can carry kernel arguments ({asked}): a bare kernel gets them from its boot "
            "loader. Add the output cmdline, which holds them as text, or uki, installer, iso, metal, nocloud",
        )
    if spec.meta and not any(output.kind.takes_meta for output in request.outputs):
        raise request.variant.error(
            ("meta",),
            f"none of the outputs can carry META values ({asked}): an installer or a bare kernel has no META "
            "partition. Add one of cmdline, uki, iso, metal, nocloud",
        )
    boot_images = [output for output in request.outputs if output.kind.is_boot_image]
    if spec.overlay and not boot_images:
        raise request.variant.error(
            ("overlay",),
            f"none of the outputs can carry an overlay ({asked}): it goes beside kernel and initramfs. Add one of "
            "cmdline, uki, installer, iso, metal, nocloud",
        )
    if request.secure_boot and not boot_images:
        raise PlanError(
            f"none of the outputs can be signed for secure boot ({asked}): the imager signs whole boot images. Add one "
            "of uki, installer, iso, metal, nocloud, or leave the keys out"
        )
    talos = request.upstream.talos_version
    bare = [output.name for output in request.outputs if output.loses_overlay_when_signed(talos)]
    if spec.overlay and request.secure_boot and bare:
        raise PlanError(
            f"an overlay and keys for secure boot do not go together in {', '.join(bare)}: the imager of Talos {talos} "
            "gives a signed disk image systemd-boot, beside which it runs no overlay, so the board's firmware and boot "
            "loader would be missing. Leave the keys or the overlay out, or build only cmdline, uki, installer, iso"
        )
    return planned


def _output(output: Output, request: Request) -> PlannedOutput:
    kind, spec, upstream = output.kind, request.variant.spec, request.upstream
    signed = request.secure_boot is not None
    facts = upstream.profiles.get(kind.name, upstream.profiles["metal"])
    args = tuple(dict.fromkeys((*facts.extra_kernel_args, *spec.extra_kernel_args)))
    return PlannedOutput(
        name=output.name,
        imager_kind=kind.imager_kind,
        platform=kind.platform,
        imager_file=output.imager_file(request.arch, signed=signed),
        path=output.path(request.arch, request.layout, signed=signed),
        media_type=output.media_type,
        initramfs=kind.initramfs,
        compression=output.compression,
        base_installer=kind.takes_base_installer,
        disk_size=facts.disk_size if kind.disk else None,
        extra_kernel_args=args if kind.takes_kernel_args else (),
        meta=spec.meta if kind.takes_meta else (),
        overlay=kind.is_boot_image and spec.overlay is not None,
        signed=kind.is_boot_image and signed,
        privileged=output.privilege(upstream.talos_version),
        notes=kind.shortfalls(kernel_args=bool(args), meta=bool(spec.meta), overlay=spec.overlay is not None),
    )
