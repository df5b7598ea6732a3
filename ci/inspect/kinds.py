"""What bytes are, by how they begin: one table for all who ask, never by a file's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ci.inspect.compression import LZ4_MAGICS, compression_of
from ci.inspect.content import elf_machine
from ci.inspect.cpio import MAGICS as CPIO
from ci.inspect.disk import sector_size
from ci.inspect.fat import is_fat
from ci.inspect.iso import is_iso
from ci.inspect.kernel import is_arm64_image, is_bzimage
from ci.inspect.squashfs import MAGIC as SQUASHFS
from ci.inspect.tar import is_tar
from ci.inspect.virtual_disk import QCOW2_MAGIC as QCOW2
from ci.inspect.virtual_disk import VHD_MAGIC as VHD
from ci.inspect.vmdk import COWD_MAGIC, DESCRIPTOR_MAGIC
from ci.inspect.vmdk import VMDK_MAGIC as VMDK
from ci.inspect.xfs_superblock import MAGIC as XFS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.inspect.source import Source

Kind = Literal[
    "zstd",
    "xz",
    "gzip",
    "lz4",
    "cpio",
    "squashfs",
    "pe",
    "iso",
    "disk",
    "qcow2",
    "vhd",
    "vmdk",
    "fat",
    "xfs",
    "tar",
    "elf",
    "data",
]

#: What a boot loader takes for a kernel or an initramfs, and what firmware starts.
_BOOT_FILES: Final = frozenset[Kind]({"zstd", "xz", "gzip", "lz4", "cpio", "pe"})

#: What begins with its own mark.
_MAGICS: Final[Mapping[bytes, Kind]] = {
    LZ4_MAGICS[0]: "lz4",
    LZ4_MAGICS[1]: "lz4",
    SQUASHFS: "squashfs",
    QCOW2: "qcow2",
    VHD: "vhd",
    VMDK: "vmdk",
    XFS: "xfs",
}

#: Bytes that are looked at.
HEAD: Final = 1024

#: Disks in formats that no reader knows, by how they begin.
_UNREAD_DISKS: Final = (
    (DESCRIPTOR_MAGIC, "a VMDK whose disk is in other files"),
    (COWD_MAGIC, "a VMDK of an old format (COWD)"),
    (b"vhdxfile", "a VHDX"),
    (b"<<< Oracle VM VirtualBox Disk Image >>>", "a VDI"),
    (b"QED\0", "a QED"),
)

#: File systems that no reader knows: where their magic number is, the number, and the name.
_UNKNOWN_FILE_SYSTEMS: Final = (
    (0x438, b"\x53\xef", "ext2, ext3 or ext4"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0x400, b"\x10\x20\xf5\xf2", "F2FS"),
    (0x400, b"\xe2\xe1\xf5\xe0", "EROFS"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0x200, b"LABELONE", "LVM"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
)


def kind_of_head(head: bytes) -> Kind:
    """Return what begins with these bytes (the first 1 KiB), as far as they show it; else `data`."""
    if (compression := compression_of(head)) is not None:
        return compression
    if head[:6] in CPIO:
        return "cpio"
    if head[:2] == b"MZ" or is_arm64_image(head) or is_bzimage(head):
        return "pe"
    for magic, kind in _MAGICS.items():
        if head.startswith(magic):
            return kind
    if is_fat(head):
        return "fat"
    if is_tar(head):
        return "tar"
    return "data" if elf_machine(head) is None else "elf"


def kind_of(source: Source) -> Kind:
    """Return what a source is; media are recognised by what follows their first bytes."""
    found = kind_of_head(source.read_up_to(0, HEAD))
    if found in ("data", "fat", "tar", "elf"):
        # The system area of an ISO and the boot code of a disk may hold anything.
        if is_iso(source):
            return "iso"
        if sector_size(source) is not None:
            return "disk"
    return found


def is_boot_file(source: Source) -> bool:
    """Return whether a file inside a medium is worth reading: a kernel, an initramfs, a program for firmware."""
    return kind_of_head(source.read_up_to(0, HEAD)) in _BOOT_FILES


def unread_disk(source: Source) -> str | None:
    """Return what a disk is stored as that no reader here knows, `None` where it is no such disk."""
    head = source.read_up_to(0, HEAD)
    return next((name for magic, name in _UNREAD_DISKS if head.startswith(magic)), None)


def unknown_file_system(source: Source) -> str | None:
    """Return the name of the file system or container of one that a source holds and no reader here knows."""
    return next((name for at, magic, name in _UNKNOWN_FILE_SYSTEMS if source.read_up_to(at, len(magic)) == magic), None)
