"""The disk of a machine that is installed already, as Talos sees it: one that has a META partition.

A machine with a configuration and without such a disk begins with its installation, for which it needs a registry.
Talos makes the other partitions itself (internal/app/machined/pkg/controllers/block/system_disk.go,
runtime/v1alpha1/v1alpha1_sequencer.go). Sizes and forms are those of GPT (UEFI specification 2.10, chapter 5).
"""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SECTOR: Final = 512
#: Bytes of a system disk: room for what Talos makes, of which the file holds what is written.
SIZE: Final = 8 << 30
#: Talos's own partition for what it has to know before its configuration, and its size.
META: Final = "META"
_START, _SECTORS = 2048, 2048
_ENTRIES, _ENTRY = 128, 128
_TABLE: Final = _ENTRIES * _ENTRY // SECTOR
_LINUX_DATA: Final = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_DISK: Final = uuid.UUID("c0574c1e-0000-4000-8000-000000000001")
_PARTITION: Final = uuid.UUID("c0574c1e-0000-4000-8000-000000000002")


def write_system_disk(file: Path, size: int = SIZE) -> None:
    """Write an empty disk with a META partition, as a file with holes."""
    last = size // SECTOR - 1
    entry = struct.pack(
        "<16s16sQQQ72s",
        _LINUX_DATA.bytes_le,
        _PARTITION.bytes_le,
        _START,
        _START + _SECTORS - 1,
        0,
        META.encode("utf-16-le"),
    )
    entries = entry.ljust(_ENTRIES * _ENTRY, b"\0")
    with file.open("wb") as out:
        out.truncate(size)
        out.write(_protective(last))
        out.write(_header(1, last, 2, last, entries))
        out.seek(2 * SECTOR)
        out.write(entries)
        out.seek((last - _TABLE) * SECTOR)
        out.write(entries)
        out.write(_header(last, 1, last - _TABLE, last, entries))


def _protective(last: int) -> bytes:
    partition = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF))
    return bytes(446) + partition.ljust(64, b"\0") + b"\x55\xaa"


def _header(own: int, other: int, table: int, last: int, entries: bytes) -> bytes:
    def pack(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            checksum,
            0,
            own,
            other,
            2 + _TABLE,
            last - _TABLE - 1,
            _DISK.bytes_le,
            table,
            _ENTRIES,
            _ENTRY,
            zlib.crc32(entries),
        )

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")
