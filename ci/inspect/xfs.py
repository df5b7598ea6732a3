"""XFS, read only, from images that may be hostile: Talos's partition BOOT, from which GRUB starts.

The package that reads XFS (dissect.xfs) is under a licence (AGPL) that would bind the users of this module. The format
is described in "XFS Algorithms & Data Structures" (kernel.org). Only version 5 is read, which mkfs.xfs has made since
2015: its metadata carry checksums and say to which file and file system they belong, and all of that is checked. Like
GRUB's reader, this one does not replay the log.
"""

from __future__ import annotations

import stat
import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ci.inspect.errors import CorruptFileError, LimitExceededError, UnsupportedFileError
from ci.inspect.member import Member
from ci.inspect.modes import TYPES_BY_MODE
from ci.inspect.source import ExtentSource
from ci.inspect.xfs_superblock import Geometry, checksum_is_right

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context
    from ci.inspect.source import Source


_INODE_CORE: Final = 176
_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_REALTIME: Final = 1
_BIGTIME, _MANY_EXTENTS = 1 << 3, 1 << 4
#: 64-bit times count nanoseconds from the smallest 32-bit number of seconds on.
_BIGTIME_START: Final = 1 << 31

_TREE_HEADER: Final = 72
_DEEPEST_TREE: Final = 9
_DATA_HEADER: Final = 64
_LINK_HEADER: Final = 56
#: In a directory's address space: data blocks are below, its indexes from here on.
_INDEXES: Final = 32 << 30
_UNUSED: Final = 0xFFFF


@dataclass(frozen=True)
class XfsFile(Member):
    """A name, and the inode that it leads to."""

    target: str | None
    inode: _Inode


@dataclass(frozen=True)
class _Inode:
    number: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    format: int
    extents: int
    on_realtime: bool
    #: The data fork, as it is in the inode: names, records of extents, or the root of a tree of them.
    fork: bytes


class _Extent(NamedTuple):
    """Blocks that follow one another in a file and in the file system; without `block` they were never written."""

    start: int
    block: int | None
    length: int


class Xfs:
    """A file system whose superblock was checked; `walk()` lists it, `open()` gives a file's content."""

    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._geometry = Geometry(source)
        self._read_bytes = 0

    @property
    def uuid(self) -> str:
        """Return the identifier that its metadata carry."""
        return str(uuid.UUID(bytes=self._geometry.uuid))

    def walk(self) -> Iterator[XfsFile]:
        """Yield everything below the root, each directory before what is in it."""
        root = self._inode(self._geometry.root)
        if stat.S_IFMT(root.mode) != stat.S_IFDIR:
            raise self._corrupt("root", f"has the mode {root.mode:#o}")
        seen = {root.number}
        stack: list[tuple[str, Iterator[tuple[str, int]]]] = [("", self._names(root, ""))]
        while stack:
            parent, names = stack[-1]
            found = next(names, None)
            if found is None:
                stack.pop()
                continue
            name, number = found
            path = f"{parent}/{name}" if parent else name
            self._context.count_entry(self._source.name, path)
            inode = self._inode(number)
            yield self._file(path, inode)
            if stat.S_ISDIR(inode.mode):
                if number in seen:
                    raise self._corrupt(f"/{path}", "a directory that is in two places")
                seen.add(number)
                if len(stack) >= self._context.limits.depth:
                    raise LimitExceededError(self._source.name, path[:80], f"deeper than {self._context.limits.depth}")
                stack.append((path, self._names(inode, path)))

    def open(self, file: XfsFile) -> Source:
        """Return a file's content as a window on the file system."""
        return self._content(file.inode, f"/{file.path}")

    def _corrupt(self, place: str, reason: str) -> CorruptFileError:
        return CorruptFileError(self._source.name, place, reason)

    def _metadata(self, offset: int, length: int, what: str) -> bytes:
        self._read_bytes += length
        if self._read_bytes > self._context.limits.checked:
            raise LimitExceededError(
                self._source.name, what, f"more than {self._context.limits.checked} bytes of metadata"
            )
        return self._source.read_at(offset, length, what)

    def _file(self, path: str, inode: _Inode) -> XfsFile:
        kind = TYPES_BY_MODE[stat.S_IFMT(inode.mode)]
        target = self._target(inode, f"/{path}") if kind == "symlink" else None
        size = inode.size if kind == "file" else 0
        mode = stat.S_IMODE(inode.mode)
        return XfsFile(path, kind, mode, inode.uid, inode.gid, inode.mtime, size, target, inode)

    def _inode(self, number: int) -> _Inode:
        geometry = self._geometry
        place = f"inode {number}"
        group, inside = divmod(number, 1 << geometry.group_log + geometry.inodes_log)
        block, index = divmod(inside, geometry.inodes_per_block)
        offset = self._offset(group, block, 1, place) + index * geometry.inode_size
        raw = self._metadata(offset, geometry.inode_size, place)
        magic, mode, version, form = struct.unpack_from(">2sHBB", raw)
        if (magic, version) != (b"IN", 3):
            raise self._corrupt(place, f"no inode of version 3 but {raw[:5]!r}")
        if not checksum_is_right(raw, 100):
            raise self._corrupt(place, "its checksum is wrong")
        if (struct.unpack_from(">Q", raw, 152)[0], raw[160:176]) != (number, geometry.uuid):
            raise self._corrupt(place, "its number or file system is another one")
        if stat.S_IFMT(mode) not in TYPES_BY_MODE:
            raise self._corrupt(place, f"the unknown mode {mode:#o}")
        uid, gid = struct.unpack_from(">II", raw, 8)
        (size,) = struct.unpack_from(">Q", raw, 56)
        more = int(struct.unpack_from(">Q", raw, 120)[0])
        extents = struct.unpack_from(">Q", raw, 24)[0] if more & _MANY_EXTENTS else struct.unpack_from(">I", raw, 76)[0]
        attributes = _INODE_CORE + raw[82] * 8
        if attributes > len(raw):
            raise self._corrupt(place, "its attributes begin behind its end")
        return _Inode(
            number=number,
            mode=mode,
            uid=uid,
            gid=gid,
            mtime=_seconds(raw[40:48], bigtime=bool(more & _BIGTIME)),
            size=size,
            format=form,
            extents=extents,
            on_realtime=bool(struct.unpack_from(">H", raw, 90)[0] & _REALTIME),
            fork=raw[_INODE_CORE : attributes if raw[82] else len(raw)],
        )

    def _offset(self, group: int, block: int, count: int, place: str) -> int:
        """Return where blocks of a group are, all of which must be there."""
        geometry = self._geometry
        first = group * geometry.group_blocks + block
        if group >= geometry.groups or block + count > geometry.group_blocks or first + count > geometry.blocks:
            raise self._corrupt(place, f"leads to block {block} of group {group}, which does not exist")
        return first * geometry.block_size

    def _block_offset(self, number: int, count: int, place: str) -> int:
        group, block = divmod(number, 1 << self._geometry.group_log)
        return self._offset(group, block, count, place)

    def _extents(self, inode: _Inode, place: str) -> list[_Extent]:
        """Return a file's extents in order; they do not overlap."""
        if inode.on_realtime:
            raise UnsupportedFileError(self._source.name, place, "a file on a realtime device")
        if inode.format == _EXTENTS:
            size = inode.extents * 16
            if size > len(inode.fork):
                raise self._corrupt(place, f"{inode.extents} extents in {len(inode.fork)} bytes")
            records = inode.fork[:size]
        elif inode.format == _BTREE:
            records = b"".join(self._leaves(inode, place))
            if len(records) != inode.extents * 16:
                raise self._corrupt(place, f"{inode.extents} extents are claimed, {len(records) // 16} are there")
        else:
            raise self._corrupt(place, f"content of the unknown format {inode.format}")
        found: list[_Extent] = []
        end = 0
        for high, low in struct.iter_unpack(">QQ", records):
            start, count = high >> 9 & (1 << 54) - 1, low & 0x1FFFFF
            if start < end or not count:
                raise self._corrupt(place, "its extents overlap or are empty")
            end = start + count
            block = (high & 0x1FF) << 43 | low >> 21
            self._block_offset(block, count, place)
            found.append(_Extent(start, None if high >> 63 else block, count))
        return found

    def _leaves(self, inode: _Inode, place: str) -> Iterator[bytes]:
        """Yield the records in the leaves of a file's tree of extents, from left to right."""
        level, count = struct.unpack_from(">HH", inode.fork)
        most = (len(inode.fork) - 4) // 16
        if not 0 < level <= _DEEPEST_TREE or not 0 < count <= most:
            raise self._corrupt(place, f"a tree of extents with {level} levels and {count} of {most} branches")
        yield from self._branches(inode, inode.fork[4 + most * 8 :][: count * 8], level - 1, place)

    def _branches(self, inode: _Inode, pointers: bytes, level: int, place: str) -> Iterator[bytes]:
        size = self._geometry.block_size
        most = (size - _TREE_HEADER) // 16
        for (number,) in struct.iter_unpack(">Q", pointers):
            offset = self._block_offset(number, 1, place)
            raw = self._metadata(offset, size, place)
            magic, own_level, count = struct.unpack_from(">4sHH", raw)
            if magic != b"BMA3" or own_level != level or not 0 < count <= most:
                raise self._corrupt(place, f"no block of its tree of extents at byte {offset}")
            (address,), (owner,) = struct.unpack_from(">Q", raw, 24), struct.unpack_from(">Q", raw, 56)
            if not checksum_is_right(raw, 64):
                raise self._corrupt(place, f"the checksum of the tree's block at byte {offset} is wrong")
            if (address * 512, owner, raw[40:56]) != (offset, inode.number, self._geometry.uuid):
                raise self._corrupt(place, f"the tree's block at byte {offset} belongs to another file")
            if level:
                pointers_below = raw[_TREE_HEADER + most * 8 :][: count * 8]
                yield from self._branches(inode, pointers_below, level - 1, place)
            else:
                yield raw[_TREE_HEADER : _TREE_HEADER + count * 16]

    def _content(self, inode: _Inode, place: str) -> Source:
        if inode.size > self._context.limits.expanded:
            raise LimitExceededError(self._source.name, place, f"a file of {inode.size} bytes")
        size = self._geometry.block_size
        pieces: list[tuple[int | None, int]] = []
        position = 0
        for extent in self._extents(inode, place):
            start, end = extent.start * size, min((extent.start + extent.length) * size, inode.size)
            if start >= end:
                continue  # allocated in advance, behind the end
            if start > position:
                pieces.append((None, start - position))
            offset = None if extent.block is None else self._block_offset(extent.block, extent.length, place)
            pieces.append((offset, end - start))
            position = end
        if position < inode.size:
            pieces.append((None, inode.size - position))
        return ExtentSource(f"{self._source.name}:{place}", self._source, pieces)

    def _target(self, inode: _Inode, place: str) -> str:
        if not 0 < inode.size <= self._context.limits.path:
            raise self._corrupt(place, f"a link of {inode.size} bytes")
        pieces = [inode.fork[: inode.size]] if inode.format == _LOCAL else self._link_pieces(inode, place)
        target = b"".join(pieces)
        if len(target) != inode.size:
            raise self._corrupt(place, f"a link of {inode.size} bytes, {len(target)} are there")
        return target.decode("utf-8", "backslashreplace")

    def _link_pieces(self, inode: _Inode, place: str) -> Iterator[bytes]:
        """Yield the pieces of a link that is too long for its inode: each extent has one, behind a header."""
        for extent in self._extents(inode, place):
            if extent.block is None:
                raise self._corrupt(place, "a link that was never written")
            offset = self._block_offset(extent.block, extent.length, place)
            raw = self._metadata(offset, extent.length * self._geometry.block_size, place)
            magic, _, length = struct.unpack_from(">4sII", raw)
            if magic != b"XSLM" or length > len(raw) - _LINK_HEADER or not checksum_is_right(raw, 12):
                raise self._corrupt(place, f"no part of a link at byte {offset}")
            if struct.unpack_from(">Q", raw, 32)[0] != inode.number:
                raise self._corrupt(place, f"the part of a link at byte {offset} belongs to another file")
            yield raw[_LINK_HEADER : _LINK_HEADER + length]

    def _names(self, inode: _Inode, path: str) -> Iterator[tuple[str, int]]:
        """Yield names in a directory, and the numbers of their inodes."""
        place = f"directory /{path}"
        listing = self._short_names(inode, place) if inode.format == _LOCAL else self._block_names(inode, place)
        for raw, number in listing:
            name = raw.decode("utf-8", "backslashreplace")
            if not name or "/" in name or "\0" in name:
                raise self._corrupt(place, f"the name {name!r}")
            if name not in (".", ".."):
                yield name, number

    def _short_names(self, inode: _Inode, place: str) -> Iterator[tuple[bytes, int]]:
        raw = inode.fork[: inode.size]
        width = 8 if raw[1:2] != b"\0" else 4
        count, at = raw[0] if raw else 0, 2 + width
        if len(raw) < at or len(raw) != inode.size:
            raise self._corrupt(place, f"{inode.size} bytes in an inode that holds {len(inode.fork)}")
        for _ in range(count):
            length = raw[at] if at < len(raw) else 0
            # Length, place in a larger directory, name, type, inode.
            end = at + 3 + length + 1 + width
            if end > len(raw):
                raise self._corrupt(place, "a name runs past its end")
            yield raw[at + 3 : at + 3 + length], int.from_bytes(raw[end - width : end])
            at = end
        if at != len(raw):
            raise self._corrupt(place, f"its names end at {at} of {len(raw)} bytes")

    def _block_names(self, inode: _Inode, place: str) -> Iterator[tuple[bytes, int]]:
        size, width = self._geometry.block_size, self._geometry.directory_block
        mapped = [extent for extent in self._extents(inode, place) if extent.start * size < _INDEXES]
        blocks: dict[int, int] = {}
        for extent in mapped:
            if extent.block is None:
                raise self._corrupt(place, "a block that was never written")
            first = self._block_offset(extent.block, extent.length, place)
            if len(blocks) + extent.length > self._context.limits.checked // size:
                raise LimitExceededError(self._source.name, place, "a directory of too many blocks")
            blocks |= {extent.start + number: first + number * size for number in range(extent.length)}
        per_block = width // size
        for start in sorted(number for number in blocks if number % per_block == 0):
            parts = [blocks.get(start + number) for number in range(per_block)]
            raw = b"".join(self._metadata(part, size, place) for part in parts if part is not None)
            if len(raw) != width:
                raise self._corrupt(place, "a block of which a part is missing")
            yield from self._data_entries(raw, inode.number, place)

    def _data_entries(self, raw: bytes, owner: int, place: str) -> Iterator[tuple[bytes, int]]:
        magic = raw[:4]
        if magic not in (b"XDB3", b"XDD3"):
            raise self._corrupt(place, f"no block of names but {magic!r}")
        if not checksum_is_right(raw, 4):
            raise self._corrupt(place, "the checksum of a block of names is wrong")
        if (struct.unpack_from(">Q", raw, 40)[0], raw[24:40]) != (owner, self._geometry.uuid):
            raise self._corrupt(place, "a block of names that belongs to another directory")
        end = len(raw)
        if magic == b"XDB3":  # of a small directory, with its index at the end
            (count,) = struct.unpack_from(">I", raw, len(raw) - 8)
            end = len(raw) - 8 - count * 8
        at = _DATA_HEADER
        while at < end:
            tag, length = struct.unpack_from(">HH", raw, at)
            if tag == _UNUSED:
                if length < 8 or length % 8 or at + length > end:
                    raise self._corrupt(place, f"{length} unused bytes at {at} of {end}")
                at += length
                continue
            length = raw[at + 8]
            # Inode, length, name, type, and the entry's own place in the last two of a multiple of 8 bytes.
            following = at + (8 + 1 + length + 1 + 2 + 7) // 8 * 8
            if following > end or struct.unpack_from(">H", raw, following - 2)[0] != at:
                raise self._corrupt(place, f"no name at {at} of {end}")
            yield raw[at + 9 : at + 9 + length], int(struct.unpack_from(">Q", raw, at)[0])
            at = following
        if at != end:
            raise self._corrupt(place, "its names run into its index")


def _seconds(raw: bytes, *, bigtime: bool) -> int:
    if bigtime:
        return int.from_bytes(raw) // 1_000_000_000 - _BIGTIME_START
    return int(struct.unpack_from(">i", raw)[0])
