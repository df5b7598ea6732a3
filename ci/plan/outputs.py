"""The outputs that are asked for: a kind, and for disk images the form; or a platform, and the form for it.

output   = kind | platform | platform "." form     kernel, iso, metal, metal.raw.xz, aws, oracle.qcow2, openstack.iso
form     = disk | "iso" | "uki" | "cmdline" | "installer" | "ipxe"
disk     = "raw" [packing | ".tar.gz"] | ("qcow2" | "compressed.qcow2" | "vhd") [packing] | "vmdk" | "ova"
packing  = ".xz" | ".zst" | ".gz"
group    = "upstream"                   what CozyStack's `make assets` and `make image` take from the imager

A platform without a form is what its cloud takes (`form` in `ci.common.platforms`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch
from ci.common.errors import OutputError, nearest, suggest
from ci.common.kinds import KINDS, OF_PLATFORMS, PLATFORM_KINDS, PROFILES, Kind, find_kind
from ci.common.platforms import CALLED, PLATFORMS, BootMethod, Platform
from ci.plan.quirks import UNPRIVILEGED_DISK_IMAGES, minor_version, quirks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
    GZIP = ".gz"
    #: A tar of GNU's format, of one file disk.raw, as Google Cloud takes it.
    TAR = ".tar.gz"


#: Bytes in a sector of a disk: what all versions make, and what 4k disks have.
_SECTOR_SIZES = (512, 4096)


class DiskFormat(StrEnum):
    """What a disk is stored as, before it is packed; named as the file name's ending."""

    RAW = "raw"
    QCOW2 = "qcow2"
    #: Its clusters are compressed, which every reader of qcow2 knows.
    COMPRESSED_QCOW2 = "compressed.qcow2"
    #: Of a fixed size.
    VHD = "vhd"
    #: streamOptimized.
    VMDK = "vmdk"
    #: An archive with a VMDK and the description of a virtual machine.
    OVA = "ova"


@dataclass(frozen=True)
class Form:
    """What a disk image is made into."""

    format: DiskFormat
    compression: Compression

    @property
    def name(self) -> str:
        """Its name, which is also the end of the file's name: `raw.xz`."""
        return self.format.value + self.compression.value


_PACKED: Final = {
    Compression.XZ: "application/x-xz",
    Compression.ZSTD: "application/zstd",
    Compression.GZIP: "application/gzip",
    Compression.TAR: "application/gzip",
}
_STORED: Final = {
    DiskFormat.QCOW2: "application/x-qemu-disk",
    DiskFormat.COMPRESSED_QCOW2: "application/x-qemu-disk",
    DiskFormat.VHD: "application/x-vhd-disk",
    DiskFormat.VMDK: "application/x-vmdk-disk",
    DiskFormat.OVA: "application/x-tar",
}
_PACKINGS: Final = (Compression.NONE, Compression.XZ, Compression.ZSTD, Compression.GZIP)
#: Packings by format. Inside of a VMDK everything is compressed.
_FORMS: Final[Mapping[DiskFormat, tuple[Compression, ...]]] = {
    DiskFormat.RAW: (*_PACKINGS, Compression.TAR),
    DiskFormat.QCOW2: _PACKINGS,
    DiskFormat.COMPRESSED_QCOW2: (Compression.NONE,),
    DiskFormat.VHD: _PACKINGS,
    DiskFormat.VMDK: (Compression.NONE,),
    DiskFormat.OVA: (Compression.NONE,),
}
#: The forms of disk images, by name.
FORMS: Final[Mapping[str, Form]] = {
    form.name: form for form in (Form(disk, packing) for disk, packings in _FORMS.items() for packing in packings)
}

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
#: What Talos gives its smallest image (`MinRAWDiskSize` in pkg/imager/profile), before the imager makes it larger.
SMALLEST_DISK: Final = 1246 * _MIB
#: The checks read no larger image (`expanded` in `ci.inspect.limits`).
LARGEST_DISK: Final = 12 * _GIB
_SIZE: Final = re.compile(r"([1-9][0-9]{0,8})(MiB|GiB|M|G)")

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
    """An output that was asked for: a kind, and for disk images the format and the compression."""

    kind: Kind
    compression: Compression = Compression.NONE
    disk_format: DiskFormat = DiskFormat.RAW

    @property
    def name(self) -> str:
        """The name under which it is asked for: `kernel`, `metal.raw.zst`."""
        return f"{self.kind.name}.{self._form}" if self.kind.disk else self.kind.name

    @property
    def _form(self) -> str:
        return self.disk_format.value + self.compression.value

    def disk_bytes(self, arch: Arch, talos_version: str, asked: int | None, default: int, *, plain: bool) -> int:
        """Return the size that the imager is given for a disk image, which it makes larger.

        `asked` are the bytes of the whole image, `default` what CozyStack's profile gives the imager; a `plain` image
        has neither an overlay nor signatures. Raises `OutputError` for a size that the image can't have.
        """
        growth = quirks(talos_version).disk_image_growth(dual_boot=arch is Arch.AMD64 and plain)
        whole = asked or self.platform.disk_size
        if whole is None:
            return default
        least, unit = SMALLEST_DISK + growth, self.platform.unit
        if not least <= whole <= LARGEST_DISK:
            raise OutputError(
                f"output {self.name!r}: bad disk size {size_of(whole)}: an image of Talos {talos_version} for {arch} "
                f"has {size_of(least)} to {size_of(LARGEST_DISK)}; Talos makes use of a larger disk when it starts on "
                "one"
            )
        if whole % unit:
            raise OutputError(
                f"output {self.name!r}: bad disk size {size_of(whole)}: {self.platform.title} takes disks of whole "
                f"{'GiB' if unit >= _GIB else 'MiB'} only"
            )
        return whole - growth

    @property
    def platform(self) -> Platform:
        """The platform that it is for."""
        return PLATFORMS[self.kind.platform]

    @property
    def media_type(self) -> str:
        """The media type of the file as delivered."""
        return _PACKED.get(self.compression) or _STORED.get(self.disk_format, self.kind.media_type)

    def imager_file(self, arch: Arch, *, signed: bool = False) -> str:
        """Return the name of the file that the imager writes; `signed` for secure boot, where the kind takes it."""
        return self.kind.imager_file.format(arch=self._arch(arch, signed))

    def path(self, arch: Arch, layout: Layout, *, signed: bool = False) -> str:
        """Return where the file goes, below `assets/talos/<arch>/` or below `_out/assets/`."""
        name = self.kind.boot_path if layout is Layout.BOOT else self.kind.flat_path or self.kind.imager_file
        name = name.format(arch=self._arch(arch, signed))
        return name.removesuffix("raw") + self._form if self.kind.disk else name

    def _arch(self, arch: Arch, signed: bool) -> str:
        return f"{arch.value}-secureboot" if signed and self.kind.is_boot_image else arch.value

    def loses_overlay_when_signed(self, talos_version: str) -> bool:
        """Return whether the imager of that Talos version leaves a board's overlay out of the signed file."""
        return self.kind.disk and quirks(talos_version).signed_disk_image_loses_overlay

    def check_platform(self, arch: Arch, talos_version: str) -> None:
        """Raise `OutputError` where the platform is not for that architecture, or came with a later Talos."""
        platform, talos = self.platform, minor_version(talos_version)
        first = platform.since or (0, 0)
        if talos < first:
            raise OutputError(
                f"output {self.name!r}: Talos has the platform {platform.name} since v{first[0]}.{first[1]}, and this "
                f"is Talos {talos_version}: build for a CozyStack release with a newer one, or leave the output out"
            )
        if arch not in platform.arches and not platform.also_arm64:
            others = " and ".join(platform.arches)
            raise OutputError(
                f"output {self.name!r}: Talos lists the platform {platform.name} ({platform.title}) for {others} only, "
                f"not for {arch}: build it with --arch {platform.arches[0]}, or leave it out"
            )
        since = platform.arm64_since or first
        if arch is Arch.ARM64 and talos < since:
            raise OutputError(
                f"output {self.name!r}: Talos has the platform {platform.name} for arm64 since v{since[0]}.{since[1]}, "
                f"and this is Talos {talos_version}: build it with --arch amd64, or leave it out"
            )

    def platform_notes(self, arch: Arch, talos_version: str, *, signed: bool) -> tuple[str, ...]:
        """Return what a reader should know of the output's platform."""
        platform, notes = self.platform, list[str]()
        if arch not in platform.arches and platform.also_arm64:
            notes.append(platform.also_arm64)
        since = platform.secure_boot_since
        if signed and self.kind.is_boot_image and (since is None or minor_version(talos_version) < since):
            notes.append(f"is signed for secure boot, which Talos does not list for the platform {platform.name}")
        return tuple(notes)

    def enrolment_notes(self, talos_version: str, *, signed: bool) -> tuple[str, ...]:
        """Return, in words, whether a signed disk image has the keys that a machine enrols for secure boot."""
        if not (signed and self.kind.disk):
            return ()
        if quirks(talos_version).signed_disk_image_enrolls_keys:
            return ("has the keys that a machine enrols, as the ISO image has (loader/keys/auto)",)
        return ("has no keys to enrol: a machine boots the signed ISO image once before it",)

    def privilege(self, talos_version: str) -> str | None:
        """Return why the imager of that Talos version needs a privileged exec for this output, else `None`."""
        if not self.kind.disk or not quirks(talos_version).disk_image_needs_privileges:
            return None
        major, minor = UNPRIVILEGED_DISK_IMAGES
        return (
            f"the imager of Talos {talos_version} partitions a disk image through a loop device and mounts it; "
            f"from v{major}.{minor} on it does without"
        )


def parse_disk_size(text: str | None) -> int | None:
    """Read the size of disk images in bytes: 8GiB, 2500MiB; G and M are the same. Nothing is nothing."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text)
    if not found:
        raise OutputError(f"bad disk size {text!r}: write a number of GiB or MiB, for example 8GiB or 2500MiB")
    return int(found[1]) * (_GIB if found[2].startswith("G") else _MIB)


def size_of(size: int) -> str:
    """Return a size in words."""
    for unit, name in ((_GIB, "GiB"), (_MIB, "MiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def parse_sector_size(size: int | None) -> int | None:
    """Return the bytes in a sector of disk images where they are not 512; raises `OutputError` for other sizes."""
    if size not in (None, *_SECTOR_SIZES):
        raise OutputError(f"bad sector size {size}: choose one of {', '.join(map(str, _SECTOR_SIZES))} (4k disks)")
    return None if size == _SECTOR_SIZES[0] else size


#: A base URL: scheme, host, and a path without anything that a script could take for more than a name.
_BASE_URL: Final = re.compile(r"(https?|tftp)://[A-Za-z0-9.\[\]:-]{1,253}(/[A-Za-z0-9._~%+-]+)*/?")


def parse_base_url(text: str | None) -> str | None:
    """Read the URL of the folder that a web server has kernel and initramfs in, without a slash at its end."""
    if text is None:
        return None
    if len(text) > 1000 or not _BASE_URL.fullmatch(text):
        raise OutputError(
            f"bad base URL {text!r}: write the URL of the folder that holds kernel and initramfs, for example "
            "http://192.168.1.10:8080/assets, without user, password and query"
        )
    return text.rstrip("/")


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
        raise OutputError(f"no output is asked for: {_choice()}")
    order = [*KINDS, *PLATFORM_KINDS]
    return tuple(sorted(set(found), key=lambda output: (order.index(output.kind.name), output.name)))


def output_names() -> tuple[str, ...]:
    """Return all names that `parse_outputs` takes, but for metal's own, which have a shorter one: metal.iso is iso."""
    kinds = {**KINDS, **PLATFORM_KINDS}
    formed = (f"{kind.name}.{form}" for kind in kinds.values() if kind.disk for form in FORMS)
    bare = (name for name in PLATFORMS if name not in kinds)
    return (*kinds, *bare, *formed, *GROUPS)


def _choice() -> str:
    clouds = ", ".join(name for name in PLATFORMS if name not in KINDS)
    return (
        f"choose from {', '.join(KINDS)}, {', '.join(GROUPS)}, the platforms {clouds}, and these with a form, for "
        f"example openstack.qcow2: {', '.join((*FORMS, *OF_PLATFORMS))}"
    )


def _parse(name: str, layout: Layout) -> Output:
    base, dot, form = name.partition(".")
    platform = PLATFORMS.get(base)
    if dot and not form and (platform or base in KINDS):
        raise OutputError(f"output {name!r} ends before its form: write {base!r}, or a form behind the dot")
    if called := CALLED.get(base.lower()):
        raise OutputError(f"unknown output {name!r}: Talos calls this platform {called}, write {called + dot + form!r}")
    if platform is None and base in KINDS:
        if form:
            raise OutputError(f"output {name!r}: {base} has no formats, write {base!r}")
        return Output(KINDS[base])
    if platform is None:
        near = nearest(name, [known for known in output_names() if ("." in known) == ("." in name)])
        raise OutputError(f"unknown output {name!r}: " + (f"did you mean {near}?" if near else _choice()))
    return _of_platform(name, platform, form or _main_form(platform, layout))


def _of_platform(name: str, platform: Platform, form: str) -> Output:
    if form in ("kernel", "initramfs"):
        raise OutputError(f"output {name!r}: the {form} is the same on all platforms, write {form!r}")
    if form in FORMS:
        _check_boots(name, platform, BootMethod.DISK)
        kind = find_kind(platform.name)
        assert kind is not None
        return Output(kind, FORMS[form].compression, FORMS[form].format)
    if form not in OF_PLATFORMS:
        known = (*(FORMS if BootMethod.DISK in platform.boots else ()), *_further_forms(platform))
        raise OutputError(f"unknown format in output {name!r}: {suggest(form, known, most=len(known))}")
    _check_boots(name, platform, OF_PLATFORMS[form])
    return Output(PLATFORM_KINDS.get(f"{platform.name}.{form}") or KINDS[form])


def _further_forms(platform: Platform) -> tuple[str, ...]:
    return tuple(form for form, method in OF_PLATFORMS.items() if method is None or method in platform.boots)


def _check_boots(name: str, platform: Platform, method: BootMethod | None) -> None:
    if method is None or method in platform.boots:
        return
    ways = " or ".join(platform.boots)
    forms = (*([platform.form] if platform.form else ()), *_further_forms(platform))
    raise OutputError(
        f"output {name!r}: machines of {platform.title} do not boot from {method}, but from {ways}: choose one of "
        + ", ".join(f"{platform.name}.{form}" for form in forms)
    )


def _main_form(platform: Platform, layout: Layout) -> str:
    """Return the form without a name; CozyStack's disk images are packed with xz in its own layout."""
    return "raw.xz" if layout is Layout.UPSTREAM and platform.name in KINDS else platform.main_form
