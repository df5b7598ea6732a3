"""The outputs that are asked for: a kind, and for disk images the form.

output = kind | disk "." format        kernel, iso, metal, metal.raw.xz, nocloud.raw
format = "raw" | "raw.xz" | "raw.zst"
group  = "upstream"                     what CozyStack's `make assets` and `make image` take from the imager
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ci.common.errors import OutputError, suggest
from ci.common.kinds import KINDS, PROFILES, Kind
from ci.plan.quirks import UNPRIVILEGED_DISK_IMAGES, quirks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.common.arch import Arch


class Layout(StrEnum):
    """How the output folder is laid out."""

    #: `boot/vmlinuz` and `boot/initramfs.xz`; every further kind in its own folder.
    BOOT = "boot"
    #: CozyStack's `_out/assets`: all in one folder, under the imager's names.
    UPSTREAM = "upstream"


class Compression(StrEnum):
    """How a disk image is packed after the imager; named as the file name's ending."""

    NONE = ""
    XZ = ".xz"
    ZSTD = ".zst"


_PACKED = {Compression.XZ: "application/x-xz", Compression.ZSTD: "application/zstd"}

DEFAULT_OUTPUTS = ("kernel", "initramfs", "installer")
#: What `reproduce` builds where nothing else is asked for: of each form one.
REPRODUCED_OUTPUTS = ("kernel", "initramfs", "uki", "installer", "iso")
#: What a netboot server serves.
NETBOOT = ("kernel", "initramfs", "cmdline")

#: Names of groups of outputs.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "upstream": tuple(f"{kind.name}.raw.xz" if kind.disk else kind.name for kind in PROFILES),
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
    """Read outputs' names into the table's order; commas separate too, and a group's name means its members.

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
