"""The FAT file systems of EFI system partitions, read only: names and where each file's bytes are.

Own code, since the package that reads FAT (pyfatfs) loads the whole table into Python objects and needs setuptools at
run time. Format: Microsoft's FAT specification (fatgen103), sections 3 to 7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.source import ExtentSource, PagedSource, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context

_LONG_NAME = 0x0F
_VOLUME = 0x08
_DIRECTORY = 0x10


def is_fat(head: bytes) -> bool:
    """Return whether a first sector is that of a FAT file system."""
    return head[510:512] == b"\x55\xaa" and (head[0x36:0x39] == b"FAT" or head[0x52:0x55] == b"FAT")


@dataclass(frozen=True)
class FatFile:
    """A file or directory, and its first cluster."""

    path: str
    directory: bool
    size: int
    cluster: int
    #: Its 32 bytes in the directory.
    record: bytes


class Fat:
    """A FAT file system whose boot sector was looked at."""

    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        boot = source.read_at(0, 512, "the boot sector")
        (sector, per_cluster, reserved, tables, root_entries, small_total, _, small_table) = struct.unpack_from(
            "<HBHBHHBH", boot, 11
        )
        large_total, large_table = struct.unpack_from("<II", boot, 32)
        if sector not in (512, 1024, 2048, 4096) or per_cluster == 0 or per_cluster & (per_cluster - 1) or not tables:
            raise self._corrupt("boot sector", f"{sector} bytes a sector, {per_cluster} sectors a cluster")
        table_sectors = small_table or large_table
        total = small_total or large_total
        root_sectors = -(-root_entries * 32 // sector)
        self._cluster_size = sector * per_cluster
        self._root = ((reserved + tables * table_sectors) * sector, root_entries * 32)
        self._data = self._root[0] + root_sectors * sector
        if total * sector > source.size or self._data > total * sector:
            raise self._corrupt("boot sector", f"{total} sectors of {sector} bytes in {source.size} bytes")
        self._clusters = (total * sector - self._data) // self._cluster_size
        self.boot = boot
        self.bits = 12 if self._clusters < 4085 else 16 if self._clusters < 65525 else 32
        self._table = PagedSource(source.window(f"{source.name}: FAT", reserved * sector, table_sectors * sector))
        self._root_cluster = int(struct.unpack_from("<I", boot, 44)[0]) if self.bits == 32 else 0
        self._read_bytes = 0

    def _corrupt(self, place: str, reason: str) -> CorruptFileError:
        return CorruptFileError(self._source.name, place, reason)

    def _next(self, cluster: int) -> int | None:
        if self.bits == 12:
            pair = int.from_bytes(self._table.read_at(cluster + cluster // 2, 2, "a table entry"), "little")
            value = pair >> 4 if cluster & 1 else pair & 0xFFF
            return None if value >= 0xFF8 else value
        width = self.bits // 8
        value = int.from_bytes(self._table.read_at(cluster * width, width, "a table entry"), "little")
        if self.bits == 32:
            value &= 0x0FFFFFFF
        return None if value >= (0xFFF8 if self.bits == 16 else 0x0FFFFFF8) else value

    def _extents(self, first: int, size: int | None, place: str) -> list[tuple[int, int]]:
        """Return the runs of a chain of clusters; one that is longer than the disk is a loop."""
        extents: list[tuple[int, int]] = []
        cluster: int | None = first
        left = self._clusters if size is None else -(-size // self._cluster_size)
        length = 0
        while cluster is not None and (size is None or left > 0):
            if not 2 <= cluster < self._clusters + 2:
                raise self._corrupt(place, f"cluster {cluster} of {self._clusters}")
            if left == 0:
                raise self._corrupt(place, "its clusters form a loop")
            start = self._data + (cluster - 2) * self._cluster_size
            if extents and sum(extents[-1]) == start:
                extents[-1] = (extents[-1][0], extents[-1][1] + self._cluster_size)
            else:
                extents.append((start, self._cluster_size))
            length += self._cluster_size
            left -= 1
            cluster = self._next(cluster)
        if size is not None:
            if length < size:
                raise self._corrupt(place, f"{size} bytes are claimed, its clusters hold {length}")
            if extents:
                extents[-1] = (extents[-1][0], extents[-1][1] - (length - size))
        return extents

    def _directory(self, cluster: int, path: str) -> Source:
        place = f"directory /{path}"
        if cluster == 0:
            extents = [self._root] if self.bits != 32 else self._extents(self._root_cluster, None, place)
        else:
            extents = self._extents(cluster, None, place)
        listing = ExtentSource(f"{self._source.name}:/{path}", self._source, extents)
        self._read_bytes += listing.size
        if self._read_bytes > self._context.limits.metadata:
            raise LimitExceededError(
                self._source.name, place, f"directories of more than {self._context.limits.metadata} bytes"
            )
        return listing

    def walk(self) -> Iterator[FatFile]:
        """Yield all files and directories; a directory that contains itself ends at the depth limit."""
        yield from self._walk("", 0, 1)

    def _walk(self, parent: str, cluster: int, depth: int) -> Iterator[FatFile]:
        if depth > self._context.limits.depth:
            raise LimitExceededError(self._source.name, parent[:80], f"deeper than {self._context.limits.depth}")
        for name, record in self._entries(parent, cluster):
            directory = bool(record[11] & _DIRECTORY)
            high, low = struct.unpack_from("<H4xH", record, 20)
            first = low | (high << 16 if self.bits == 32 else 0)
            size = int.from_bytes(record[28:32], "little")
            path = f"{parent}/{name}" if parent else name
            self._context.count_entry(self._source.name, path)
            yield FatFile(path, directory, 0 if directory else size, first, record)
            if directory:
                if first == 0:
                    raise self._corrupt(path, "a directory without clusters")
                yield from self._walk(path, first, depth + 1)

    def _entries(self, parent: str, cluster: int) -> Iterator[tuple[str, bytes]]:
        long_name: list[str] = []
        for chunk in self._directory(cluster, parent).chunks():
            for at in range(0, len(chunk) - 31, 32):
                entry = chunk[at : at + 32]
                if entry[0] == 0:
                    return
                attributes = entry[11]
                if entry[0] == 0xE5:
                    long_name = []
                elif attributes & 0x3F == _LONG_NAME:
                    long_name = self._long_part(entry, long_name)
                elif attributes & _VOLUME:
                    long_name = []
                else:
                    name = "".join(reversed(long_name)).split("\0")[0] or _short_name(entry)
                    long_name = []
                    if name in (".", ".."):
                        continue
                    if "/" in name or "\\" in name:
                        raise self._corrupt(f"directory /{parent}", f"the name {name!r}")
                    yield name, entry

    def _long_part(self, entry: bytes, so_far: list[str]) -> list[str]:
        if len(so_far) >= 20:
            raise self._corrupt("directory", "a long name of more than 20 parts")
        text = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
        return ([] if entry[0] & 0x40 else so_far) + [text]

    def open(self, file: FatFile) -> Source:
        """Return a file's content as a window on the disk."""
        name = f"{self._source.name}:/{file.path}"
        if file.size == 0:
            return ExtentSource(name, self._source, [])
        return ExtentSource(name, self._source, self._extents(file.cluster, file.size, f"/{file.path}"))


def _short_name(entry: bytes) -> str:
    base = entry[:8].decode("cp437").rstrip()
    extension = entry[8:11].decode("cp437").rstrip()
    # Windows keeps lower case of a short name in two bits.
    base = base.lower() if entry[12] & 0x08 else base
    extension = extension.lower() if entry[12] & 0x10 else extension
    return f"{base}.{extension}" if extension else base
