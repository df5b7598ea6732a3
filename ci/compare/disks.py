"""Parts of disk images with a GUID partition table."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ci.compare.parts import Field, Part, fields, hexadecimal, number
from ci.inspect.context import Context
from ci.inspect.disk import read_partitions, sector_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.source import Source


def _guid(data: bytes) -> str:
    return str(uuid.UUID(bytes_le=data))


def _name(data: bytes) -> str:
    return repr(data.decode("utf-16-le", "replace").rstrip("\0"))


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


def disk_parts(source: Source) -> Iterator[Part]:
    """Yield the fields of the partition table, and the partitions."""
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
