"""The superblock of an XFS: its sizes, and whether this project reads what it says."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ci.inspect.crc32c import crc32c
from ci.inspect.errors import CorruptFileError, UnsupportedFileError

if TYPE_CHECKING:
    from ci.inspect.source import Source

MAGIC: Final = b"XFSB"
_SUPERBLOCK: Final = 264
_VERSION: Final = 5
#: Features that change what is read: types in directories, sparse inodes, another UUID in metadata, 64-bit times and
#: extent counters, exchanged ranges, parent pointers. All are known; of `NEEDS_REPAIR` see below.
_META_UUID, _NEEDS_REPAIR = 1 << 2, 1 << 4
_KNOWN_FEATURES: Final = 0b1111_1111


class Geometry:
    """The superblock's numbers, each of which fits the others."""

    def __init__(self, source: Source) -> None:
        head = source.read_at(0, _SUPERBLOCK, "the superblock")
        if head[:4] != MAGIC:
            raise CorruptFileError(source.name, "superblock", f"no XFS but {head[:4]!r}")
        self.block_size, self.blocks = struct.unpack_from(">IQ", head, 4)
        self.root = int(struct.unpack_from(">Q", head, 56)[0])
        self.group_blocks, self.groups = struct.unpack_from(">II", head, 84)
        version, self.sector, self.inode_size, self.inodes_per_block = struct.unpack_from(">HHHH", head, 100)
        block_log, sector_log, self.inode_log, self.inodes_log, self.group_log = head[120:125]
        directory_log = head[192]
        if version & 0xF != _VERSION:
            raise UnsupportedFileError(
                source.name, "superblock", f"XFS of version {version & 0xF}, which has no checksums: only 5 is read"
            )
        if not (
            9 <= block_log <= 16
            and self.block_size == 1 << block_log
            and 9 <= sector_log <= block_log
            and self.sector == 1 << sector_log
            and 9 <= self.inode_log <= min(block_log, 11)
            and self.inode_size == 1 << self.inode_log
            and self.inodes_log == block_log - self.inode_log
            and self.inodes_per_block == 1 << self.inodes_log
            and directory_log <= 16 - block_log
        ):
            raise CorruptFileError(source.name, "superblock", "its sizes do not fit one another")
        sector = source.read_at(0, self.sector, "the superblock")
        if not checksum_is_right(sector, 224):
            raise CorruptFileError(source.name, "superblock", "its checksum is wrong")
        features = int(struct.unpack_from(">I", head, 216)[0])
        if features & ~_KNOWN_FEATURES:
            raise UnsupportedFileError(source.name, "superblock", f"XFS with the unknown features {features:#x}")
        if features & _NEEDS_REPAIR:
            raise UnsupportedFileError(source.name, "superblock", "it is marked as in need of xfs_repair")
        if not (
            self.group_blocks
            and self.groups
            and self.group_log == (self.group_blocks - 1).bit_length()
            and (self.groups - 1) * self.group_blocks < self.blocks <= self.groups * self.group_blocks
        ):
            raise CorruptFileError(
                source.name,
                "superblock",
                f"{self.blocks} blocks in {self.groups} groups of {self.group_blocks}",
            )
        if self.blocks * self.block_size > source.size:
            raise CorruptFileError(
                source.name, "superblock", f"{self.blocks} blocks of {self.block_size} bytes in {source.size} bytes"
            )
        self.directory_block = self.block_size << directory_log
        self.uuid = head[248:264] if features & _META_UUID else head[32:48]


def checksum_is_right(raw: bytes, at: int) -> bool:
    """Return whether the checksum at a place is that of all bytes, its own four taken as zeros."""
    return crc32c(raw[:at] + bytes(4) + raw[at + 4 :]) == int.from_bytes(raw[at : at + 4], "little")
