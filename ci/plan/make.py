"""Make the plan: variant, upstream and catalog become one value that says everything the pipeline does, and why.

wanted  = BuildRequest(…)
needs   = release_needs(…), catalog_need(…), extension_needs(…)     which tags have to be looked up (ci.resolve.needs)
found   = await resolve_all(needs, resolver)                        their digests (ci.resolve.digests)
plan    = make_plan(wanted, catalog, found)                         pure: same arguments, equal plan
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.common import pins
from ci.common.errors import PlanError
from ci.common.kinds import KINDS, names
from ci.common.references import as_image, parse_reference
from ci.plan.model import Plan, PlannedOutput, PlannedOverlay, SourceDate
from ci.plan.outputs import Layout, Output
from ci.plan.quirks import SECTOR_SIZES, quirks, unproven
from ci.resolve import extensions
from ci.resolve.model import ImageUse, PlannedExtension
from ci.resolve.needs import catalog_need, extension_use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.common.arch import Arch
    from ci.common.references import PinnedImage
    from ci.load.catalog import Catalog
    from ci.load.upstream import Upstream
    from ci.load.variant import Variant
    from ci.plan.model import Origin, SecureBoot
    from ci.resolve.model import FileExtension


@dataclass(frozen=True)
class BuildRequest:
    """What is asked for, loaded and parsed."""

    variant: Variant
    arch: Arch
    upstream: Upstream
    origin: Origin
    source_date: SourceDate
    outputs: tuple[Output, ...]
    layout: Layout = Layout.BOOT
    #: Bytes of whole disk images; `None`: what their platform's row or CozyStack's profile says.
    disk_size: int | None = None
    #: Where a web server has kernel and initramfs, for scripts of iPXE.
    base_url: str | None = None
    #: Extensions that the user gave as files.
    files: tuple[FileExtension, ...] = ()
    secure_boot: SecureBoot | None = None
    #: Bytes in a sector of disk images, where they are not 512.
    disk_sector_size: int | None = None
    #: The platform that the imager runs on; it matters where an overlay has to run there too.
    host_platform: str = "linux/amd64"


def choose_source_date(given: int | None, origin: Origin, commit_date: int | None) -> SourceDate:
    """Choose the time of all timestamps: the one given, else the commit's, a known release's, or a fixed one."""
    if given is not None:
        if not 0 <= given < 2**31:  # the range of GraphQL's integers
            raise PlanError(f"bad source date epoch {given}: it is in seconds since 1970, from 0 to {2**31 - 1}")
        return SourceDate(epoch=given, source="given")
    if commit_date is not None:
        return SourceDate(epoch=commit_date, source=f"date of commit {origin.commit or 'of the checkout'}")
    for release in pins.KNOWN_RELEASES.values():
        if origin.commit == release.commit:
            return SourceDate(epoch=release.date, source=f"date of {release.tag}'s commit {release.commit}")
    return SourceDate(epoch=pins.FALLBACK_EPOCH, source="fixed: the checkout does not tell its commit's date")


def make_plan(
    request: BuildRequest, catalog: Catalog | None, found: Mapping[str, PinnedImage], *, stand_in: bool = False
) -> Plan:
    """Make the plan from what was loaded and looked up.

    Raises `VariantError` where the variant contradicts architecture, upstream or catalog, and `PlanError` where a
    reference was not looked up or no output can carry what the variant wants.
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
        catalog=_looked_up(ImageUse.CATALOG, found) if catalog_need(variant, upstream, request.files) else None,
        extensions=tuple(_pin(entry, found) for entry in chosen.kept),
        dropped=chosen.dropped,
        absent=spec.absent,
        kernel_modules=tuple(module.name for module in spec.configuration.kernel_modules),
        runtime_handlers=tuple(dict.fromkeys(need.handler for need in spec.configuration.runtime_classes)),
        overlay=_overlay(request),
        secure_boot=request.secure_boot,
        layout=request.layout,
        outputs=_outputs(request),
        stand_in=stand_in,
        caveats=unproven(upstream.talos_version),
    )


def _looked_up(use: str, found: Mapping[str, PinnedImage]) -> PinnedImage:
    if use not in found:
        raise PlanError(f"{use}: its digest was not looked up")
    return found[use]


def _pin(entry: extensions.Chosen, found: Mapping[str, PinnedImage]) -> PlannedExtension:
    reference = entry.reference
    image = as_image(reference) if reference.digest else _looked_up(extension_use(entry.name), found)
    return PlannedExtension(
        name=entry.name,
        version=entry.version or parse_reference(image.pinned).tag or image.digest,
        reference=image.reference,
        digest=image.digest,
        source=entry.source,
        reason=entry.reason,
    )


def _overlay(request: BuildRequest) -> PlannedOverlay | None:
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


def _outputs(request: BuildRequest) -> tuple[PlannedOutput, ...]:
    for output in request.outputs:
        output.check_platform(request.arch, request.upstream.talos_version)
    if request.disk_size and not any(output.kind.disk for output in request.outputs):
        raise PlanError(
            f"a disk size is given, and none of the outputs is a disk image "
            f"({', '.join(output.name for output in request.outputs)}): leave it out, or add a disk image"
        )
    _check_base_url(request)
    planned = tuple(_output(output, request) for output in request.outputs)
    spec, asked = request.variant.spec, ", ".join(output.name for output in request.outputs)
    if spec.extra_kernel_args and not any(output.kind.takes_kernel_args for output in request.outputs):
        raise request.variant.error(
            ("extraKernelArgs",),
            f"none of the outputs can carry kernel arguments ({asked}): a bare kernel gets them from its boot "
            "loader. Add one of " + names(lambda kind: kind.takes_kernel_args) + " (cmdline holds them as text)",
        )
    if spec.meta and not any(output.kind.takes_meta for output in request.outputs):
        raise request.variant.error(
            ("meta",),
            f"none of the outputs can carry META values ({asked}): an installer or a bare kernel has no META "
            "partition. Add one of " + names(lambda kind: kind.takes_meta),
        )
    boot_images = [output for output in request.outputs if output.kind.is_boot_image]
    if spec.overlay and not boot_images:
        raise request.variant.error(
            ("overlay",),
            f"none of the outputs can carry an overlay ({asked}): it goes next to kernel and initramfs. Add one of "
            + names(lambda kind: kind.is_boot_image),
        )
    if request.secure_boot and not boot_images:
        raise PlanError(
            f"none of the outputs can be signed for secure boot ({asked}): the imager signs whole boot images. Add one "
            f"of {names(lambda kind: kind.is_boot_image)}, or leave the keys out"
        )
    talos = request.upstream.talos_version
    _check_sector_size(request, asked)
    bare = [output.name for output in request.outputs if output.loses_overlay_when_signed(talos)]
    if spec.overlay and request.secure_boot and bare:
        raise PlanError(
            f"an overlay and keys for secure boot do not go together in {', '.join(bare)}: the imager of Talos {talos} "
            "gives a signed disk image systemd-boot, with which it runs no overlay, so the board's firmware and boot "
            "loader would be missing. Leave the keys or the overlay out, or build only "
            + names(lambda kind: kind.is_boot_image and not kind.disk)
        )
    return planned


def _check_sector_size(request: BuildRequest, asked: str) -> None:
    size, talos = request.disk_sector_size, request.upstream.talos_version
    if size is None:
        return
    if not quirks(talos).chooses_sector_size:
        major, minor = SECTOR_SIZES
        raise PlanError(
            f"disk images with sectors of {size} bytes need Talos v{major}.{minor} or newer, and this is {talos}: its "
            "imager makes them for sectors of 512 bytes, whatever its profile says. Leave --disk-sector-size out, or "
            f"build for a CozyStack release with Talos v{major}.{minor} or newer"
        )
    if not any(output.kind.disk for output in request.outputs):
        raise PlanError(
            f"none of the outputs has sectors ({asked}): --disk-sector-size is for disk images. Add one of "
            f"{names(lambda kind: kind.disk)}, or leave it out"
        )


def _output(output: Output, request: BuildRequest) -> PlannedOutput:
    kind, spec, upstream = output.kind, request.variant.spec, request.upstream
    signed = request.secure_boot is not None
    facts = upstream.profiles[kind.profile]
    overlay = kind.is_boot_image and spec.overlay is not None
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
        disk_format=output.disk_format,
        base_installer=kind.takes_base_installer,
        disk_size=_disk_size(output, request, facts.disk_size, plain=not (signed or overlay)),
        disk_sector_size=request.disk_sector_size if kind.disk else None,
        extra_kernel_args=args if kind.takes_kernel_args else (),
        meta=spec.meta if kind.takes_meta else (),
        overlay=overlay,
        boots=_boots(output, request),
        signed=kind.is_boot_image and signed,
        privileged=output.privilege(upstream.talos_version),
        notes=(
            *output.platform_notes(request.arch, upstream.talos_version, signed=signed),
            *output.enrolment_notes(upstream.talos_version, signed=signed),
            *kind.shortfalls(kernel_args=bool(args), meta=bool(spec.meta), overlay=spec.overlay is not None),
        ),
    )


def _disk_size(output: Output, request: BuildRequest, default: int | None, *, plain: bool) -> int | None:
    if not output.kind.disk or default is None:
        return None
    talos = request.upstream.talos_version
    return output.disk_bytes(request.arch, talos, request.disk_size, default, plain=plain)


def _check_base_url(request: BuildRequest) -> None:
    scripts = [output.name for output in request.outputs if output.kind.needs_base_url]
    if scripts and not request.base_url:
        raise PlanError(
            f"{', '.join(scripts)} names kernel and initramfs by their URLs: give the URL of their folder with "
            "--base-url, for example http://192.168.1.10:8080/assets"
        )
    if request.base_url and not scripts:
        raise PlanError(
            f"a base URL is given, and none of the outputs ({', '.join(output.name for output in request.outputs)}) "
            "is a script of iPXE: leave it out, or add ipxe"
        )


def _boots(output: Output, request: BuildRequest) -> tuple[str, ...]:
    if not output.kind.needs_base_url:
        return ()
    files = (Output(KINDS[name]).path(request.arch, request.layout) for name in ("kernel", "initramfs"))
    return tuple(f"{request.base_url}/{path.rpartition('/')[2]}" for path in files)
