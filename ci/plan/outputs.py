"""The kinds of output: what the imager calls them, where they go, what they can take.

Facts of the imager are as observed on v1.11.3 and v1.13.6 (its profile documents and what came out).

    output = kind | disk "." format        kernel, iso, metal, metal.raw.xz, nocloud.raw
    format = "raw" | "raw.xz" | "raw.zst"
    group  = "upstream"                     what CozyStack's `make assets` and `make image` take from the imager
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ci.common.errors import OutputError, suggest
from ci.plan.quirks import UNPRIVILEGED_DISK_IMAGES, quirks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.common.arch import Arch


class Layout(StrEnum):
    """How the output folder is laid out."""

    #: `boot/vmlinuz` and `boot/initramfs.xz`; every further kind in a folder of its own.
    BOOT = "boot"
    #: CozyStack's `_out/assets`: all in one folder, under the imager's names.
    UPSTREAM = "upstream"


class Initramfs(StrEnum):
    """What an output has to do with the initramfs."""

    #: It has none in it.
    NONE = "none"
    #: It is made by packing the extensions.
    BUILT = "built"
    #: It embeds the one that was built.
    READY = "ready"


class Compression(StrEnum):
    """How a disk image is packed after the imager; named as the file name's ending."""

    NONE = ""
    XZ = ".xz"
    ZSTD = ".zst"


@dataclass(frozen=True)
class Kind:
    """One row of the table of output kinds. `{arch}` in a file name stands for arm64 or amd64."""

    name: str
    #: `output.kind` of the imager's profile.
    imager_kind: str
    #: What the imager writes below `/out`.
    imager_file: str
    #: Path in the `boot` layout.
    boot_path: str
    media_type: str
    platform: str = "metal"
    initramfs: Initramfs = Initramfs.READY
    takes_kernel_args: bool = True
    takes_meta: bool = True
    takes_base_installer: bool = False
    #: A disk image: has a size and a compression.
    disk: bool = False

    @property
    def is_boot_image(self) -> bool:
        """Whether it starts by itself, and so takes a board's overlay and signatures for secure boot.

        The imager refuses both kernel arguments and secure boot for a bare kernel and a bare initramfs.
        """
        return self.takes_kernel_args

    @property
    def takes_whole_overlay(self) -> bool:
        """Whether a board's firmware, boot loader and device trees go in, beside the overlay's kernel arguments.

        The imager asks every overlay for its arguments (`buildCmdline` in pkg/imager), but runs it for disk images
        only, and packs it into installers, which run it on the node.
        """
        return self.disk or self.takes_base_installer

    def shortfalls(self, *, kernel_args: bool, meta: bool, overlay: bool) -> tuple[str, ...]:
        """Return what of these a reader would look for in vain, in words; each says whether the variant has such."""
        said: list[str] = []
        if kernel_args and not self.takes_kernel_args:
            said.append(
                "carries no kernel arguments: the boot loader has to give them (output cmdline has the whole line)"
            )
        if meta and not self.takes_meta:
            said.append("carries no META values: the imager puts none into this kind")
        if overlay and self.is_boot_image and not self.takes_whole_overlay:
            said.append(
                "carries the overlay's kernel arguments only: firmware, boot loader and device trees go into metal, "
                "nocloud and installer"
            )
        return tuple(said)


#: In the order in which they are listed and built.
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "kernel",
            imager_kind="kernel",
            imager_file="kernel-{arch}",
            boot_path="boot/vmlinuz",
            media_type="application/octet-stream",
            initramfs=Initramfs.NONE,
            takes_kernel_args=False,
            takes_meta=False,
        ),
        Kind(
            "initramfs",
            imager_kind="initramfs",
            imager_file="initramfs-metal-{arch}.xz",
            boot_path="boot/initramfs.xz",
            # zstd in spite of its name, which upstream's tools expect.
            media_type="application/zstd",
            initramfs=Initramfs.BUILT,
            takes_kernel_args=False,
            takes_meta=False,
        ),
        Kind(
            "cmdline",
            imager_kind="cmdline",
            imager_file="cmdline-metal-{arch}",
            boot_path="cmdline/cmdline-metal-{arch}",
            media_type="text/plain",
            initramfs=Initramfs.NONE,
        ),
        Kind(
            "uki",
            imager_kind="uki",
            imager_file="metal-{arch}-uki.efi",
            boot_path="uki/metal-{arch}-uki.efi",
            media_type="application/efi",
        ),
        Kind(
            "installer",
            imager_kind="installer",
            imager_file="installer-{arch}.tar",
            boot_path="installer/installer-{arch}.tar",
            media_type="application/x-tar",
            takes_meta=False,
            takes_base_installer=True,
        ),
        Kind(
            "iso",
            imager_kind="iso",
            imager_file="metal-{arch}.iso",
            boot_path="iso/metal-{arch}.iso",
            media_type="application/vnd.efi.iso",
        ),
        Kind(
            "metal",
            imager_kind="image",
            imager_file="metal-{arch}.raw",
            boot_path="metal/metal-{arch}.raw",
            media_type="application/vnd.efi.img",
            disk=True,
        ),
        Kind(
            "nocloud",
            imager_kind="image",
            imager_file="nocloud-{arch}.raw",
            boot_path="nocloud/nocloud-{arch}.raw",
            media_type="application/vnd.efi.img",
            platform="nocloud",
            disk=True,
        ),
    )
}

_PACKED = {Compression.XZ: "application/x-xz", Compression.ZSTD: "application/zstd"}

DEFAULT_OUTPUTS = ("kernel", "initramfs", "installer")
#: What `reproduce` builds where nothing else is asked for: of each form one.
REPRODUCED_OUTPUTS = ("kernel", "initramfs", "uki", "installer", "iso")

#: Names that stand for several outputs.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "upstream": ("kernel", "initramfs", "installer", "iso", "metal.raw.xz", "nocloud.raw.xz"),
}


@dataclass(frozen=True)
class Output:
    """An output that was asked for: a kind, and for disk images the compression."""

    kind: Kind
    compression: Compression = Compression.NONE

    @property
    def name(self) -> str:
        """The name under which it is asked for: `kernel`, `metal.raw.zst`."""
        return f"{self.kind.name}.raw{self.compression.value}" if self.kind.disk else self.kind.name

    @property
    def media_type(self) -> str:
        """The media type of the file as delivered."""
        return _PACKED.get(self.compression, self.kind.media_type)

    def imager_file(self, arch: Arch, *, signed: bool = False) -> str:
        """Return the name of the file that the imager writes; `signed` for secure boot, where the kind takes it."""
        return self.kind.imager_file.format(arch=self._arch(arch, signed))

    def path(self, arch: Arch, layout: Layout, *, signed: bool = False) -> str:
        """Return where the file goes, below `assets/talos/<arch>/` or below `_out/assets/`."""
        name = self.kind.boot_path if layout is Layout.BOOT else self.kind.imager_file
        return name.format(arch=self._arch(arch, signed)) + self.compression.value

    def _arch(self, arch: Arch, signed: bool) -> str:
        return f"{arch.value}-secureboot" if signed and self.kind.is_boot_image else arch.value

    def loses_overlay_when_signed(self, talos_version: str) -> bool:
        """Return whether the imager of that Talos version leaves a board's overlay out of the signed file."""
        return self.kind.disk and quirks(talos_version).signed_disk_image_loses_overlay

    def privilege(self, talos_version: str) -> str | None:
        """Return why the imager of that Talos version needs a privileged exec for this output, else `None`."""
        if not self.kind.disk or not quirks(talos_version).disk_image_needs_privileges:
            return None
        major, minor = UNPRIVILEGED_DISK_IMAGES
        return (
            f"the imager of Talos {talos_version} partitions a disk image through a loop device and mounts it; "
            f"from v{major}.{minor} on it does without"
        )


def parse_layout(text: str) -> Layout:
    """Read `boot` or `upstream`."""
    names = [layout.value for layout in Layout]
    if text not in names:
        raise OutputError(f"unknown layout {text!r}: {suggest(text, names)}")
    return Layout(text)


def parse_outputs(names: Iterable[str], layout: Layout = Layout.BOOT) -> tuple[Output, ...]:
    """Read outputs' names into the table's order; commas separate too, a group's name stands for its members.

    A disk image without a format is `.raw.zst`, which packs fast; in the `upstream` layout it is `.raw.xz`, which is
    what CozyStack has. Raises `OutputError` for an unknown name, and for none at all.
    """
    asked = [part.strip() for name in names for part in name.split(",") if part.strip()]
    found = [_parse(part, layout) for name in asked for part in GROUPS.get(name, (name,))]
    if not found:
        raise OutputError(f"no output is asked for: choose from {', '.join(output_names())}")
    order = list(KINDS)
    return tuple(sorted(set(found), key=lambda output: (order.index(output.kind.name), output.name)))


def output_names() -> tuple[str, ...]:
    """Return all names that `parse_outputs` takes."""
    formats = tuple(f".raw{packing.value}" for packing in Compression)
    disks = (f"{kind.name}{form}" for kind in KINDS.values() if kind.disk for form in formats)
    return (*KINDS, *disks, *GROUPS)


def _parse(name: str, layout: Layout) -> Output:
    base, _, form = name.partition(".")
    kind = KINDS.get(base)
    if kind and not form:
        return Output(kind, _default_compression(kind, layout))
    formats = {f"raw{packing.value}": packing for packing in Compression}
    if kind and kind.disk and form in formats:
        return Output(kind, formats[form])
    if kind and kind.disk:
        raise OutputError(f"unknown format in output {name!r}: choose one of {', '.join(formats)}")
    if kind:
        raise OutputError(f"output {name!r}: {base} has no formats, write {base!r}")
    raise OutputError(f"unknown output {name!r}: {suggest(name, output_names())}")


def _default_compression(kind: Kind, layout: Layout) -> Compression:
    if not kind.disk:
        return Compression.NONE
    return Compression.XZ if layout is Layout.UPSTREAM else Compression.ZSTD
