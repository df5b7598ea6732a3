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
from ci.inspect.xfs_superblock import MAGIC as XFS

if TYPE_CHECKING:
    from ci.inspect.source import Source

Kind = Literal[
    "zstd", "xz", "gzip", "lz4", "cpio", "squashfs", "pe", "iso", "disk", "qcow2", "fat", "xfs", "tar", "elf", "data"
]

#: What a boot loader takes for a kernel or an initramfs, and what firmware starts.
_BOOT_FILES: Final = frozenset[Kind]({"zstd", "xz", "gzip", "lz4", "cpio", "pe"})

#: Bytes that are looked at.
HEAD: Final = 1024

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
    if head[:4] in LZ4_MAGICS:
        return "lz4"
    if head[:6] in CPIO:
        return "cpio"
    if head[:4] == SQUASHFS:
        return "squashfs"
    if head[:2] == b"MZ" or is_arm64_image(head) or is_bzimage(head):
        return "pe"
    if head[:4] == QCOW2:
        return "qcow2"
    if head[:4] == XFS:
        return "xfs"
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


def unknown_file_system(source: Source) -> str | None:
    """Return the name of the file system or container of one that a source holds and no reader here knows."""
    return next((name for at, magic, name in _UNKNOWN_FILE_SYSTEMS if source.read_up_to(at, len(magic)) == magic), None)
