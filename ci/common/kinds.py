"""The kinds of output, one row each: code that lists or distinguishes kinds reads this table.

A row says what the imager calls the kind, where its file goes, what it can take, what boots it, and which profile of
CozyStack it follows. Facts of the imager are as observed on v1.11.3 and v1.13.6.

`KINDS` are those of the platforms metal and nocloud, which CozyStack makes. `PLATFORM_KINDS` are what the other rows of
`ci.common.platforms` make of them: `aws`, a disk image; `aws.cmdline`, `openstack.iso`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ci.common.platforms import PLATFORMS, BootMethod, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Initramfs(StrEnum):
    """What an output has to do with the initramfs."""

    #: It has none in it.
    NONE = "none"
    #: It is made by packing the extensions.
    BUILT = "built"
    #: It embeds the one that was built.
    READY = "ready"


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
    #: CozyStack's profile whose disk size and kernel arguments it has; `None`: the one with its name.
    follows: str | None = None
    #: What `ci.inspect` finds the file to be; `None`: what the imager calls it.
    found_as: str | None = None
    #: Way to boot that takes it: `kernel` boots what a boot loader would load, with the arguments in `cmdline`.
    boot_way: str | None = None
    initramfs: Initramfs = Initramfs.READY
    takes_kernel_args: bool = True
    takes_meta: bool = True
    takes_base_installer: bool = False
    #: Whether it names kernel and initramfs by URLs, below one that has to be given.
    needs_base_url: bool = False
    #: Its file's name among others in one folder; `None`: as the imager writes it.
    flat_path: str | None = None

    @property
    def disk(self) -> bool:
        """Whether it is a disk image, which has a size and a compression."""
        return self.imager_kind == "image"

    @property
    def profile(self) -> str:
        """Name of the profile in CozyStack's checkout that it follows."""
        return self.follows or self.name

    @property
    def inspected_kind(self) -> str:
        """What `ci.inspect` calls the file."""
        return self.found_as or self.imager_kind

    @property
    def is_boot_image(self) -> bool:
        """Whether it starts by itself, and so takes a board's overlay and signatures for secure boot.

        The imager refuses both kernel arguments and secure boot for a bare kernel and a bare initramfs.
        """
        return self.takes_kernel_args

    @property
    def takes_whole_overlay(self) -> bool:
        """Whether a board's firmware, boot loader and device trees go in, besides the overlay's kernel arguments.

        The imager asks every overlay for its arguments (`buildCmdline` in pkg/imager), but runs it for disk images
        only, and packs it into installers, which run it on the node.
        """
        return self.disk or self.takes_base_installer

    def shortfalls(self, *, kernel_args: bool, meta: bool, overlay: bool) -> tuple[str, ...]:
        """Return what the variant has and this output lacks, in words; each argument says whether it has that."""
        said: list[str] = []
        if kernel_args and not self.takes_kernel_args:
            said.append(
                "carries no kernel arguments: the boot loader has to give them (output cmdline has the whole line)"
            )
        if meta and not self.takes_meta:
            said.append("carries no META values: the imager puts none into this kind")
        if overlay and self.is_boot_image and not self.takes_whole_overlay:
            said.append(
                "carries the overlay's kernel arguments only: firmware, boot loader and device trees go into "
                + names(lambda kind: kind.takes_whole_overlay)
            )
        return tuple(said)


#: In the order in which they are listed and built.
KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "kernel",
            imager_kind="kernel",
            boot_way="kernel",
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
            boot_way="kernel",
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
            follows="metal",
            boot_way="kernel",
            imager_file="cmdline-metal-{arch}",
            boot_path="cmdline/cmdline-metal-{arch}",
            media_type="text/plain",
            initramfs=Initramfs.NONE,
        ),
        Kind(
            "ipxe",
            imager_kind="cmdline",
            follows="metal",
            imager_file="cmdline-metal-{arch}",
            flat_path="metal-{arch}.ipxe",
            boot_path="boot/metal-{arch}.ipxe",
            media_type="text/plain",
            initramfs=Initramfs.NONE,
            needs_base_url=True,
        ),
        Kind(
            "uki",
            imager_kind="uki",
            follows="metal",
            boot_way="uki",
            imager_file="metal-{arch}-uki.efi",
            boot_path="uki/metal-{arch}-uki.efi",
            media_type="application/efi",
        ),
        Kind(
            "installer",
            imager_kind="installer",
            found_as="image",
            imager_file="installer-{arch}.tar",
            boot_path="installer/installer-{arch}.tar",
            media_type="application/x-tar",
            takes_meta=False,
            takes_base_installer=True,
        ),
        Kind(
            "iso",
            imager_kind="iso",
            boot_way="iso",
            imager_file="metal-{arch}.iso",
            boot_path="iso/metal-{arch}.iso",
            media_type="application/vnd.efi.iso",
        ),
        Kind(
            "metal",
            imager_kind="image",
            found_as="disk",
            boot_way="metal",
            imager_file="metal-{arch}.raw",
            boot_path="metal/metal-{arch}.raw",
            media_type="application/vnd.efi.img",
        ),
        Kind(
            "nocloud",
            imager_kind="image",
            found_as="disk",
            imager_file="nocloud-{arch}.raw",
            boot_path="nocloud/nocloud-{arch}.raw",
            media_type="application/vnd.efi.img",
            platform="nocloud",
        ),
    )
}

#: The kinds that CozyStack has a profile of.
PROFILES: Final = tuple(kind for kind in KINDS.values() if kind.follows is None)

#: Kinds that hold the kernel's arguments, and so differ from platform to platform, with the way to boot that they need.
OF_PLATFORMS: Final[Mapping[str, BootMethod | None]] = {
    "cmdline": None,
    "uki": None,
    "installer": None,
    "iso": BootMethod.ISO,
    "ipxe": BootMethod.PXE,
}


def _of(platform: Platform) -> Iterator[Kind]:
    """Yield the kinds of a platform: its disk image, then what is like a kind of metal with its arguments."""
    name = platform.name
    if BootMethod.DISK in platform.boots and name not in KINDS:
        yield replace(
            KINDS["nocloud"],
            name=name,
            platform=name,
            follows="nocloud",
            imager_file=f"{name}-{{arch}}.raw",
            boot_path=f"{name}/{name}-{{arch}}.raw",
        )
    for form, method in OF_PLATFORMS.items() if name != "metal" else ():
        if method is not None and method not in platform.boots:
            continue
        kind = KINDS[form]
        installer = kind.takes_base_installer
        imager_file = kind.imager_file.replace("metal", name)
        file = f"{name}-installer-{{arch}}.tar" if installer else (kind.flat_path or imager_file).replace("metal", name)
        yield replace(
            kind,
            name=f"{name}.{form}",
            platform=name,
            follows=kind.profile if kind.follows is None else "nocloud",
            boot_way=None,
            imager_file=imager_file,
            flat_path=file,
            boot_path=f"{'boot' if kind.needs_base_url else name}/{file}",
        )


#: The kinds of the platforms that CozyStack does not build for, and what else there is for nocloud.
PLATFORM_KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind for platform in PLATFORMS.values() for kind in _of(platform)
}


def find_kind(name: str) -> Kind | None:
    """Return the kind of that name, of any platform."""
    return KINDS.get(name) or PLATFORM_KINDS.get(name)


def kind_of_output(output: str) -> Kind:
    """Return the kind of an output, by its name: `metal` of metal.raw.xz, `aws.cmdline` of aws.cmdline."""
    return find_kind(output) or find_kind(output.partition(".")[0]) or KINDS[output]


def names(fits: Callable[[Kind], bool]) -> str:
    """Return the names of the kinds that fit, for a text."""
    return ", ".join(kind.name for kind in KINDS.values() if fits(kind))


def booted_by(way: str) -> tuple[Kind, ...]:
    """Return the kinds that a way to boot takes."""
    return tuple(kind for kind in KINDS.values() if kind.boot_way == way)
