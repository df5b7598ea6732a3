"""Parts of disk images with a GUID partition table."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ci.compare.parts import Field, Part, big_number, fields, hexadecimal, number, time
from ci.inspect.context import Context
from ci.inspect.disk import read_partitions, sector_size
from ci.inspect.kinds import kind_of
from ci.inspect.stored import stored_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.source import Source


def _guid(data: bytes) -> str:
    return str(uuid.UUID(bytes_le=data))


def _name(data: bytes) -> str:
    return repr(data.decode("utf-16-le", "replace").rstrip("\0"))


def _vhd_time(data: bytes) -> str:
    return time(int.from_bytes(data) + 946_684_800)  # in the file it counts from 2000 on


#: UEFI specification, section 5.3.2, from byte 24 on.
_HEADER: tuple[Field, ...] = (
    ("sector of the table", 8, number),
    ("sector of the other table", 8, number),
    ("first usable sector", 8, number),
    ("last usable sector", 8, number),
    ("GUID of the disk", 16, _guid),
)
#: Section 5.3.3.
_ENTRY: tuple[Field, ...] = (
    ("type", 16, _guid),
    ("GUID", 16, _guid),
    ("first sector", 8, number),
    ("last sector", 8, number),
    ("attributes", 8, hexadecimal),
    ("name", 72, _name),
)


#: Microsoft's "Virtual Hard Disk Image Format Specification" 1.0, "Hard Disk Footer Format".
_VHD: tuple[Field, ...] = (
    ("cookie", 8, hexadecimal),
    ("features", 4, hexadecimal),
    ("version", 4, hexadecimal),
    ("offset of the data", 8, hexadecimal),
    ("time", 4, _vhd_time),
    ("program", 4, hexadecimal),
    ("program's version", 4, hexadecimal),
    ("program's system", 4, hexadecimal),
    ("original size", 8, big_number),
    ("size", 8, big_number),
    ("geometry", 4, hexadecimal),
    ("type", 4, big_number),
    ("", 4, hexadecimal),  # the checksum: of what differs elsewhere
    ("id", 16, hexadecimal),
)
_VHD_FOOTER = 512


def stored_parts(source: Source) -> Iterator[Part]:
    """Yield the disk in a file that holds one, and what the file says of it."""
    form, disk = stored_disk(source, kind_of(source), Context())
    yield Part("disk", disk)
    if form == "vhd":
        yield from fields(source, source.size - _VHD_FOOTER, _VHD, "VHD footer")


def disk_parts(source: Source) -> Iterator[Part]:
    """Yield the fields of the partition table, and the partitions; those of a VHD's disk, and then its footer's."""
    if stored_disk(source, "disk", Context())[0] == "vhd":
        yield from stored_parts(source)
        return
    yield Part("boot sector", source.window(f"{source.name}: boot sector", 0, 512))
    sector = sector_size(source) or 512
    partitions = read_partitions(source, Context())
    yield from fields(source, sector + 24, _HEADER, "partition table")
    header = source.read_at(sector, 92, "the partition table's header")
    table, size = int.from_bytes(header[72:80], "little") * sector, int.from_bytes(header[84:88], "little")
    for partition in partitions:
        title = f"partition {partition.number}"
        start = table + (partition.number - 1) * size
        yield from fields(source, start, _ENTRY, title)
    for partition in partitions:
        title = f"partition {partition.number} {partition.name}"
        yield Part(title, source.window(f"{source.name}: {title}", partition.offset, partition.size))
