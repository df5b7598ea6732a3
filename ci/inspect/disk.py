"""Raw disk images: the GUID partition table (UEFI specification, section 5.3)."""

from __future__ import annotations

import uuid
import zlib
from typing import TYPE_CHECKING

from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.models import PartitionFacts

if TYPE_CHECKING:
    from ci.inspect.context import Context
    from ci.inspect.source import Source

_SIGNATURE = b"EFI PART"
_TYPES = {
    uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"): "esp",
    uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"): "linux",
    uuid.UUID("21686148-6449-6e6f-744e-656564454649"): "bios-boot",
}


def sector_size(source: Source) -> int | None:
    """Return the size of a sector if there is a GUID partition table, `None` otherwise."""
    return next((size for size in (512, 4096) if source.read_up_to(size, 8) == _SIGNATURE), None)


def read_partitions(source: Source, context: Context) -> list[PartitionFacts]:
    """Return the partitions in the table's order; both of the table's checksums must be true."""
    sector = sector_size(source)
    if sector is None:
        raise CorruptFileError(source.name, "byte 512", "no GUID partition table")
    header = source.read_at(sector, 92, "the partition table's header")
    place = "partition table"
    header_size = int.from_bytes(header[12:16], "little")
    if header_size != 92:
        raise CorruptFileError(source.name, place, f"a header of {header_size} bytes")
    if zlib.crc32(header[:16] + bytes(4) + header[20:]) != int.from_bytes(header[16:20], "little"):
        raise CorruptFileError(source.name, place, "the header's checksum is wrong")
    start = int.from_bytes(header[72:80], "little") * sector
    count, size = int.from_bytes(header[80:84], "little"), int.from_bytes(header[84:88], "little")
    if count > context.limits.partitions or not 128 <= size <= 4096:
        raise LimitExceededError(
            source.name, place, f"{count} entries of {size} bytes (limit {context.limits.partitions})"
        )
    table = source.read_at(start, count * size, "the partition table")
    if zlib.crc32(table) != int.from_bytes(header[88:92], "little"):
        raise CorruptFileError(source.name, place, "the table's checksum is wrong")
    partitions: list[PartitionFacts] = []
    for number in range(count):
        entry = table[number * size : number * size + 128]
        kind = uuid.UUID(bytes_le=entry[:16])
        if kind.int == 0:
            continue
        first, last = int.from_bytes(entry[32:40], "little"), int.from_bytes(entry[40:48], "little")
        if last < first or (last + 1) * sector > source.size:
            raise CorruptFileError(source.name, f"partition {number + 1}", f"sectors {first} to {last} are not there")
        partitions.append(
            PartitionFacts(
                number=number + 1,
                name=entry[56:128].decode("utf-16-le", "replace").split("\0")[0],
                type=_TYPES.get(kind, str(kind)),
                offset=first * sector,
                size=(last - first + 1) * sector,
            )
        )
    return partitions
