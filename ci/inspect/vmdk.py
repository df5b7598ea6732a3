"""Disks of VMware in one file, seen as the raw disks that they hold: streamOptimized and monolithicSparse VMDK.

Format: VMware's "Virtual Disk Format 5.0", sections "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse
Extents".
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, Final

from ci.inspect.compression import BLOCK_ERRORS
from ci.inspect.errors import CorruptFileError, LimitExceededError, UnsupportedFileError
from ci.inspect.limits import KIB, MIB
from ci.inspect.virtual_disk import Clusters

if TYPE_CHECKING:
    from ci.inspect.context import Context
    from ci.inspect.source import Source

VMDK_MAGIC: Final = b"KDMV"
#: What a VMDK in several files begins with, and an older format of VMware's.
DESCRIPTOR_MAGIC: Final = b"# Disk DescriptorFile"
COWD_MAGIC: Final = b"COWD"

_SECTOR: Final = 512
_HEADER: Final = struct.Struct("<4sIIQQQQIQQQB4sH")
_GRAIN: Final = struct.Struct("<QI")
_COMPRESSED, _MARKERS, _ZERO_GRAINS = 1 << 16, 1 << 17, 1 << 2
_AT_END: Final = 0xFFFF_FFFF_FFFF_FFFF
#: Sectors from the end of a stream to its footer: the footer itself, and the end's marker.
_FOOTER: Final = 2 * _SECTOR
_FIELD: Final = re.compile(r'^\s*(createType|parentCID)\s*=\s*"?([^"\r\n]*?)"?\s*$', re.MULTILINE)
_KNOWN: Final = ("streamOptimized", "monolithicSparse")
_NO_PARENT: Final = "ffffffff"


class Vmdk(Clusters):
    """The disk in a VMDK of one file: grains that are found by tables, compressed where it is a stream."""

    def __init__(self, parent: Source, context: Context) -> None:
        head = _header(parent, 0)
        if head[9] == _AT_END:
            if parent.size < _FOOTER + _HEADER.size:
                raise parent.cut_short("VMDK footer")
            head = _header(parent, parent.size - _FOOTER)
        _, version, flags, capacity, grain, at, size, entries, _, directory, _, _, _, packing = head
        if version not in (1, 2, 3):
            raise UnsupportedFileError(parent.name, "VMDK header", f"version {version}, 1 to 3 are known")
        if grain & grain - 1 or not 8 * _SECTOR <= grain * _SECTOR <= 2 * MIB or entries != 512:
            raise CorruptFileError(parent.name, "VMDK header", f"grains of {grain} sectors, {entries} in a table")
        if flags & _COMPRESSED and packing != 1:
            raise UnsupportedFileError(parent.name, "VMDK header", f"the unknown compression {packing}")
        self._packed, self._zero_grains = bool(flags & _COMPRESSED), bool(flags & _ZERO_GRAINS)
        tables = -(-capacity // (grain * entries))
        if tables * 4 > context.limits.metadata or size * _SECTOR > context.limits.text:
            raise LimitExceededError(parent.name, "VMDK header", f"{capacity} sectors in {tables} tables")
        # In the footer of a stream, too, the descriptor is where the header has it.
        _check_descriptor(parent, at * _SECTOR, size * _SECTOR)
        super().__init__(
            parent,
            context,
            size=capacity * _SECTOR,
            cluster=grain * _SECTOR,
            per_table=entries,
            word="<I",
        )
        raw = parent.read_at(directory * _SECTOR, tables * 4, "the VMDK's directory")
        self._first = tuple(sector * _SECTOR for sector in struct.unpack(f"<{tables}I", raw))

    def _place(self, entry: int) -> int:
        return 0 if entry == 1 and self._zero_grains else entry

    def _read_cluster(self, cluster: int, entry: int) -> bytes:
        offset = entry * _SECTOR
        if not self._packed:
            # The file may end where the disk does.
            return self._parent.read_up_to(offset, self._size_of_cluster).ljust(self._size_of_cluster, b"\0")
        return self._held(cluster, lambda: self._expanded(cluster, offset))

    def _expanded(self, cluster: int, offset: int) -> bytes:
        size, place = self._size_of_cluster, f"grain at byte {offset}"
        sector, length = _GRAIN.unpack(self._parent.read_at(offset, _GRAIN.size, "a grain's marker"))
        if sector * _SECTOR != cluster * size:
            raise CorruptFileError(self.name, place, f"its marker says sector {sector}")
        if length > size + 64 * KIB:
            raise LimitExceededError(self.name, place, f"{length} bytes packed")
        try:
            found = zlib.decompressobj().decompress(self._parent.read_at(offset + 12, length, "a grain"), size + 1)
        except BLOCK_ERRORS as error:
            raise CorruptFileError(self.name, place, str(error)) from error
        # Some writers cut the last grain where the disk ends.
        if len(found) > size or len(found) < min(size, self.size - cluster * size):
            raise CorruptFileError(self.name, place, f"it expands to {len(found)} bytes and not to {size}")
        return found.ljust(size, b"\0")


def _header(source: Source, offset: int) -> tuple[int, ...]:
    found = _HEADER.unpack(source.read_at(offset, _HEADER.size, "the VMDK header"))
    if found[0] != VMDK_MAGIC:
        raise CorruptFileError(source.name, f"byte {offset}", "no VMDK header where the footer should be")
    return found


def _check_descriptor(source: Source, offset: int, size: int) -> None:
    text = source.read_at(offset, size, "the VMDK's descriptor").rstrip(b"\0").decode("latin-1")
    found = dict(_FIELD.findall(text))
    if found.get("parentCID", _NO_PARENT).lower() != _NO_PARENT:
        raise UnsupportedFileError(source.name, "VMDK descriptor", "it is based on another file")
    kind = found.get("createType", "")
    if text and kind not in _KNOWN:
        raise UnsupportedFileError(
            source.name, "VMDK descriptor", f"its type is {kind[:40]!r}, and {' and '.join(_KNOWN)} are read"
        )
