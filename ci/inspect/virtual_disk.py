"""Disk images in the formats of QEMU and Azure, seen as the raw disks that they hold: qcow2, and VHD of a fixed size.

Formats: QEMU's docs/interop/qcow2.txt; Microsoft's "Virtual Hard Disk Image Format Specification" 1.0.
"""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import zstandard

from ci.inspect.compression import BLOCK_ERRORS
from ci.inspect.errors import CorruptFileError, LimitExceededError, UnsupportedFileError
from ci.inspect.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.inspect.context import Context

QCOW2_MAGIC: Final = b"QFI\xfb"
VHD_MAGIC: Final = b"conectix"
_VHD_FOOTER: Final = 512
_FIXED: Final = 2
_NOT_FIXED: Final = {3: "a disk of dynamic size", 4: "the differences from another disk"}

_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQ")
#: Of the features that a reader has to know: marks of a crash and of damage, other compression. Damage is refused.
_DIRTY, _DAMAGED, _COMPRESSION = 1, 2, 8
_OFFSET: Final = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED, _ZERO = 1 << 62, 1
_TABLES_HELD: Final = 16
#: Clusters that are looked at for holes: those of a disk of 256 GiB, were all of its tables there.
_MOST_STEPS: Final = 1 << 22


class Clusters(Source):
    """A disk that is found by tables of two levels: the places of tables, and in each the places of its clusters."""

    def __init__(self, parent: Source, context: Context, *, size: int, cluster: int, per_table: int, word: str) -> None:
        """Take the bytes of the disk and of a cluster, a table's entries and how one is packed (`struct`)."""
        self._parent = parent
        self._context = context
        self._size_of_cluster, self._per_table, self._word = cluster, per_table, word
        #: Where each table begins in the file; 0 where there is none.
        self._first: tuple[int, ...] = ()
        self._tables: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._steps = 0
        self._cluster: tuple[int, bytes] = (-1, b"")
        super().__init__(parent.name, size)

    def _place(self, entry: int) -> int:
        """Return an entry as it is, or 0 where it says that the cluster is empty."""
        raise NotImplementedError

    def _read_cluster(self, cluster: int, entry: int) -> bytes:
        """Return a cluster that is not empty."""
        raise NotImplementedError

    def _entry(self, cluster: int) -> int:
        """Return what the tables say of a cluster; 0 where it was never written."""
        table, index = divmod(cluster, self._per_table)
        offset = self._first[table]
        if not offset:
            return 0
        if offset not in self._tables:
            layout = struct.Struct(f"{self._word[0]}{self._per_table}{self._word[1]}")
            self._tables[offset] = layout.unpack(self._parent.read_at(offset, layout.size, "a table of clusters"))
            if len(self._tables) > _TABLES_HELD:
                self._tables.popitem(last=False)
        return self._place(self._tables[offset][index])

    def _held(self, cluster: int, expand: Callable[[], bytes]) -> bytes:
        """Return a cluster that is compressed; what was read last is held."""
        if self._cluster[0] != cluster:
            found = expand()
            self._context.count_expanded(self.name, len(found))
            self._cluster = cluster, found
        return self._cluster[1]

    def _pread(self, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        while length:
            cluster, inside = divmod(offset, self._size_of_cluster)
            entry = self._entry(cluster)
            data = self._read_cluster(cluster, entry) if entry else bytes(self._size_of_cluster)
            piece = data[inside : inside + length]
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def next_data(self, offset: int) -> int:
        """Return where the next bytes are that may not be zeros, from a place on; the size where there are none."""
        cluster, last = offset // self._size_of_cluster, -(-self.size // self._size_of_cluster)
        while cluster < last:
            if not self._first[cluster // self._per_table]:
                cluster = (cluster // self._per_table + 1) * self._per_table
            elif self._entry(cluster):
                return max(offset, cluster * self._size_of_cluster)
            else:
                cluster += 1
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise LimitExceededError(self.name, "tables", f"more than {_MOST_STEPS} clusters to look at")
        return self.size


class Qcow2(Clusters):
    """The disk in a qcow2 image: clusters that are found by tables of two levels, some of them compressed."""

    def __init__(self, parent: Source, context: Context) -> None:
        head = parent.read_at(0, _HEADER.size, "the qcow2 header")
        (magic, version, backing, _, self._bits, size, encryption, tables, first, _, _, _, _) = _HEADER.unpack(head)
        if magic != QCOW2_MAGIC or version not in (2, 3):
            raise UnsupportedFileError(parent.name, "qcow2 header", f"version {version}, 2 and 3 are known")
        if backing or encryption:
            what = "it is based on another file" if backing else "it is encrypted"
            raise UnsupportedFileError(parent.name, "qcow2 header", what)
        if not 9 <= self._bits <= 21:
            raise CorruptFileError(parent.name, "qcow2 header", f"clusters of 2^{self._bits} bytes")
        features = int(struct.unpack(">Q", parent.read_at(72, 8, "the qcow2 header"))[0]) if version == 3 else 0
        if features & _DAMAGED:
            raise CorruptFileError(parent.name, "qcow2 header", "it is marked as corrupt")
        if features & ~(_DIRTY | _COMPRESSION):
            raise UnsupportedFileError(parent.name, "qcow2 header", f"the unknown features {features:#x}")
        self._zstd = bool(features & _COMPRESSION) and parent.read_at(104, 1, "the qcow2 header") == b"\1"
        per_table = 1 << self._bits - 3
        if tables * 8 > context.limits.metadata or -(-size >> self._bits) > tables * per_table:
            raise LimitExceededError(parent.name, "qcow2 header", f"{size} bytes in {tables} tables")
        raw = parent.read_at(first, tables * 8, "the first table")
        super().__init__(parent, context, size=size, cluster=1 << self._bits, per_table=per_table, word=">Q")
        self._first = tuple(entry & _OFFSET for entry in struct.unpack(f">{tables}Q", raw))

    def _place(self, entry: int) -> int:
        return 0 if not entry & _COMPRESSED and (entry & _ZERO or not entry & _OFFSET) else entry

    def _read_cluster(self, cluster: int, entry: int) -> bytes:
        size = 1 << self._bits
        if not entry & _COMPRESSED:
            # The last cluster of the file may be cut where the disk ends.
            return self._parent.read_up_to(entry & _OFFSET, size).ljust(size, b"\0")
        return self._held(cluster, lambda: self._expanded(entry, size))

    def _expanded(self, entry: int, size: int) -> bytes:
        bits = 62 - (self._bits - 8)
        offset = entry & (1 << bits) - 1
        sectors = (entry & ~_COMPRESSED & (1 << 62) - 1) >> bits
        data = self._parent.read_up_to(offset, (sectors + 1) * 512 - offset % 512)
        place = f"compressed cluster at byte {offset}"
        try:
            if self._zstd:
                # As a stream: a frame of a few kilobytes may expand to gigabytes.
                found = zstandard.ZstdDecompressor(max_window_size=2 * size).stream_reader(data).read(size + 1)
            else:
                found = zlib.decompressobj(wbits=-15).decompress(data, size + 1)
        except BLOCK_ERRORS as error:
            raise CorruptFileError(self.name, place, str(error)) from error
        if len(found) != size:
            raise CorruptFileError(self.name, place, f"it expands to {len(found)} bytes and not to {size}")
        return found


def vhd_content(source: Source) -> Source | None:
    """Return the disk in a VHD of a fixed size: all but its last sector; `None` where the file is no VHD."""
    footer = source.read_up_to(source.size - _VHD_FOOTER, _VHD_FOOTER) if source.size >= _VHD_FOOTER else b""
    if footer[:8] != VHD_MAGIC:
        return None
    size, kind, checksum = *struct.unpack_from(">Q", footer, 48), *struct.unpack_from(">II", footer, 60)
    if kind != _FIXED:
        what = _NOT_FIXED.get(kind, f"a disk of the unknown type {kind}")
        how = "only those of a fixed size are read: `qemu-img convert -O raw` makes a raw one of it"
        raise UnsupportedFileError(source.name, "VHD footer", f"{what}, {how}")
    if ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF != checksum:
        raise CorruptFileError(source.name, "VHD footer", "its checksum is wrong")
    if size != source.size - _VHD_FOOTER:
        raise CorruptFileError(source.name, "VHD footer", f"a disk of {size} bytes in {source.size}")
    return source.window(source.name, 0, size)
