"""Parts of file systems: squashfs, ISO 9660, FAT, XFS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.compare.parts import Field, Part, big_number, fields, hexadecimal, little_time, number, text, time
from ci.inspect.context import Context
from ci.inspect.fat import Fat
from ci.inspect.iso import inspect_iso
from ci.inspect.partitions import read_xfs
from ci.inspect.source import BytesSource
from ci.inspect.squashfs import inspect_squashfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.fat import FatFile
    from ci.inspect.models import Entry
    from ci.inspect.source import Source

#: What says how an image was made; what follows in the superblock follows from its content.
_SQUASHFS: tuple[Field, ...] = (
    ("", 8, number),
    ("time of creation", 4, little_time),
    ("block size", 4, number),
    ("", 4, number),
    ("compression", 2, number),
    ("", 2, number),
    ("flags", 2, number),
)


def squashfs_parts(source: Source) -> Iterator[Part]:
    """Yield what an image says of its making, and its entries: their data are packed, and compared expanded."""
    yield from fields(source, 0, _SQUASHFS, "superblock")
    for entry in inspect_squashfs(source, Context()).entries:
        yield entry_part(entry)


def entry_part(entry: Entry, content: Source | None = None) -> Part:
    """Return an entry of a listing: its properties, and its content, or else that content's digest."""
    values: dict[str, object] = {
        "type": entry.type,
        "mode": f"{entry.mode:o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": time(entry.mtime) if entry.mtime is not None else "none",
        "target": entry.target,
    }
    if content is None:
        values["size"] = entry.size
        values["sha256 of the content"] = entry.sha256

    def inside() -> Iterator[Part]:
        for name, value in values.items():
            yield Part(name, BytesSource(name, str(value).encode()), show=bytes.decode)
        if content is not None:
            yield Part("content", content)

    return Part(f"entry {entry.path}", inside=inside)


def _iso_date(data: bytes) -> str:
    digits = data[:16].decode("ascii", "replace")
    return digits if data[:1] != b"\0" else "none"


#: ECMA-119, section 8.4, from byte 40 on; numbers are there in both byte orders.
_VOLUME: tuple[Field, ...] = (
    ("volume", 32, text),
    ("", 8, number),
    ("size", 8, lambda data: number(data[:4])),
    ("", 102, number),
    ("volume set", 128, text),
    ("publisher", 128, text),
    ("preparer", 128, text),
    ("application", 128, text),
    ("", 111, number),
    ("time of creation", 17, _iso_date),
    ("time of modification", 17, _iso_date),
    ("time of expiration", 17, _iso_date),
    ("time from which it is valid", 17, _iso_date),
)
_SECTOR = 2048


def iso_parts(source: Source) -> Iterator[Part]:
    """Yield the system area, the volume descriptors' fields, the directory records and the files of an image."""
    yield Part("system area", source.window(f"{source.name}: system area", 0, 16 * _SECTOR))
    sector = 16
    while (kind := source.read_at(sector * _SECTOR, 7, "a volume descriptor"))[0] != 255 and kind[1:6] == b"CD001":
        if kind[0] in (1, 2):
            title = "volume descriptor" if kind[0] == 1 else "Joliet volume descriptor"
            yield from fields(source, sector * _SECTOR + 40, _VOLUME, title)
        sector += 1
    facts, files = inspect_iso(source, Context())
    contents = dict(files)
    for entry in facts.entries:
        yield entry_part(entry, contents.get(entry.path))


def _dos_time(data: bytes) -> str:
    """Show a time and a date of MS-DOS: local time, in steps of two seconds."""
    clock, day = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
    date = f"{1980 + (day >> 9)}-{day >> 5 & 15:02}-{day & 31:02}"
    return f"{date} {clock >> 11:02}:{clock >> 5 & 63:02}:{(clock & 31) * 2:02}"


#: Microsoft's FAT specification, section 6.
_FAT_RECORD: tuple[Field, ...] = (
    ("short name", 11, text),
    ("attributes", 1, hexadecimal),
    ("", 1, number),
    ("hundredths of the time of creation", 1, number),
    ("time of creation", 4, _dos_time),
    ("date of the last access", 2, lambda data: _dos_time(bytes(2) + data)[:10]),
    ("", 2, number),
    ("time of the last change", 4, _dos_time),
    ("", 2, number),
)


def fat_parts(source: Source) -> Iterator[Part]:
    """Yield the boot sector's fields, and the directories' records with the files, of a FAT file system."""
    fat = Fat(source, Context())
    extended = 67 if fat.bits == 32 else 39
    yield from fields(source, 3, [("system", 8, text)], "boot sector")
    yield from fields(source, extended, [("serial number", 4, hexadecimal), ("label", 11, text)], "boot sector")
    for file in fat.walk():
        yield _fat_part(file, fat.open(file) if not file.directory else None)


#: "XFS Algorithms & Data Structures", section "Superblocks": what says how a file system was made.
_XFS: tuple[Field, ...] = (
    ("block size", 4, big_number),
    ("size", 8, big_number),
    ("", 16, hexadecimal),
    ("UUID", 16, hexadecimal),
    ("", 60, hexadecimal),
    ("label", 12, text),
)


def xfs_parts(source: Source) -> Iterator[Part]:
    """Yield the superblock's fields, and the names with the files."""
    yield from fields(source, 4, _XFS, "superblock")
    entries, files = read_xfs(source, Context())
    contents = dict(files)
    for entry in entries:
        yield entry_part(entry, contents.get(entry.path))


def _fat_part(file: FatFile, content: Source | None) -> Part:
    record = BytesSource(file.path, file.record)

    def inside() -> Iterator[Part]:
        yield from fields(record, 0, _FAT_RECORD)
        if content is not None:
            yield Part("content", content)

    return Part(f"entry {file.path}", inside=inside)
