"""Squashfs 4.0, read only, from images that may be hostile.

The readers to be had as packages expand blocks without a limit, recurse as deep as an image tells them and cache
hundreds of megabytes, or stand under a licence (AGPL) that would bind the users of this module. The format is
described in the kernel's Documentation/filesystems/squashfs.rst and at dr-emann.github.io/squashfs.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.inspect.compression import BLOCK_ERRORS, expand_block
from ci.inspect.content import read_content
from ci.inspect.errors import CorruptFileError, LimitExceededError, UnsupportedFileError
from ci.inspect.limits import MIB
from ci.inspect.models import Entry, EntryType, SquashfsFacts
from ci.inspect.texts import is_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci.inspect.context import Context
    from ci.inspect.source import Source

MAGIC = b"hsqs"
_COMPRESSIONS = {1: "gzip", 4: "xz", 6: "zstd"}
_OTHER_COMPRESSIONS = {2: "lzma", 3: "lzo", 5: "lz4"}
_METADATA = 8192
_NONE = 0xFFFFFFFF
#: Where Talos looks for the SPDX documents of its own and of extensions (pkg/machinery/constants, `SPDXPath`).
_SPDX = re.compile(r"usr/(?:local/)?share/spdx/[^/]+\.spdx\.json")
_SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")

#: Inode types; the extended ones are the basic ones plus seven.
_TYPES: dict[int, EntryType] = {
    1: "directory",
    2: "file",
    3: "symlink",
    4: "block",
    5: "character",
    6: "fifo",
    7: "socket",
}


@dataclass(frozen=True)
class _Inode:
    type: EntryType
    mode: int
    uid: int
    gid: int
    mtime: int
    number: int
    size: int = 0
    #: Of a directory: where its listing is. Of a file: where its blocks and its fragment are.
    block: int = 0
    offset: int = 0
    fragment: int = _NONE
    block_sizes: tuple[int, ...] = ()
    target: str | None = None


class _Cache:
    """The last few expanded blocks; small, since an image's order is the order in which it is read."""

    def __init__(self, most: int) -> None:
        self._blocks: OrderedDict[int, tuple[bytes, int]] = OrderedDict()
        self._most = most

    def get(self, key: int, load: Callable[[], tuple[bytes, int]]) -> tuple[bytes, int]:
        if key in self._blocks:
            self._blocks.move_to_end(key)
        else:
            self._blocks[key] = load()
            if len(self._blocks) > self._most:
                self._blocks.popitem(last=False)
        return self._blocks[key]


class Squashfs:
    """An image whose superblock and tables were looked at; `walk()` lists it, `chunks()` reads a file."""

    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        values = _SUPERBLOCK.unpack(source.read_at(0, _SUPERBLOCK.size, "the superblock"))
        (magic, self.inodes, self.created, self.block_size, fragments, compression, block_log, _, ids, major, minor) = (
            values[:11]
        )
        root, used, id_table, _, self._inode_table, self._directory_table, fragment_table, _ = values[11:]
        if magic != MAGIC:
            raise self._corrupt("superblock", f"no squashfs but {magic!r}")
        if (major, minor) != (4, 0):
            raise UnsupportedFileError(source.name, "superblock", f"squashfs {major}.{minor}, only 4.0 is known")
        if compression not in _COMPRESSIONS:
            known = _OTHER_COMPRESSIONS.get(compression, str(compression))
            raise UnsupportedFileError(source.name, "superblock", f"compression {known}: Talos uses zstd, xz or gzip")
        if not 12 <= block_log <= 20 or self.block_size != 1 << block_log:
            raise self._corrupt("superblock", f"block size {self.block_size} (log {block_log})")
        if used > source.size:
            raise self._corrupt("superblock", f"{used} bytes in use, the file has {source.size}")
        self.compression = _COMPRESSIONS[compression]
        self._root = root
        self._metadata = _Cache(256)
        self._fragments = _Cache(8)
        self._ids = [int(value[0]) for value in struct.iter_unpack("<I", self._lookup(id_table, ids, 4, "id"))]
        if fragments > source.size // 16 + 1:
            raise self._corrupt("superblock", f"{fragments} fragments in {source.size} bytes")
        table = self._lookup(fragment_table, fragments, 16, "fragment")
        self._fragment_table: list[tuple[int, int]] = [(v[0], v[1]) for v in struct.iter_unpack("<QII", table)]

    def _corrupt(self, place: str, reason: str) -> CorruptFileError:
        return CorruptFileError(self._source.name, place, reason)

    def _lookup(self, start: int, count: int, item: int, what: str) -> bytes:
        """Return a table of fixed items: a list of pointers to metadata blocks, one for every 8 KiB."""
        if count == 0:
            return b""
        blocks = -(-count * item // _METADATA)
        pointers = self._source.read_at(start, blocks * 8, f"the {what} table")
        table = b"".join(self._metadata_block(pointer)[0] for (pointer,) in struct.iter_unpack("<Q", pointers))
        if len(table) < count * item:
            raise self._corrupt(f"{what} table", f"{count} items need {count * item} bytes, there are {len(table)}")
        return table[: count * item]

    def _metadata_block(self, start: int) -> tuple[bytes, int]:
        return self._metadata.get(start, lambda: self._load_metadata(start))

    def _load_metadata(self, start: int) -> tuple[bytes, int]:
        place = f"metadata block at byte {start}"
        header = int.from_bytes(self._source.read_at(start, 2, "a metadata header"), "little")
        size = header & 0x7FFF
        if size > _METADATA or size == 0:
            raise self._corrupt(place, f"claims {size} bytes (limit {_METADATA})")
        data = self._source.read_at(start + 2, size, "a metadata block")
        if not header & 0x8000:
            data = self._expand(data, _METADATA, place)
        return data, start + 2 + size

    def _expand(self, data: bytes, most: int, place: str) -> bytes:
        try:
            expanded = expand_block(self.compression, data, most)
        except BLOCK_ERRORS as error:
            raise self._corrupt(place, f"{self.compression}: {error}") from error
        if len(expanded) > most:
            raise LimitExceededError(self._source.name, place, f"expands to more than {most} bytes")
        self._context.count_expanded(self._source.name, len(expanded))
        return expanded

    def _read(self, start: int, offset: int, length: int) -> tuple[bytes, int, int]:
        """Return metadata that may run over several blocks, and the place behind it."""
        pieces: list[bytes] = []
        while True:
            data, following = self._metadata_block(start)
            if offset > len(data):
                raise self._corrupt(f"metadata block at byte {start}", f"offset {offset} of {len(data)}")
            piece = data[offset : offset + length]
            pieces.append(piece)
            length -= len(piece)
            offset += len(piece)
            if length == 0:
                return b"".join(pieces), start, offset
            start, offset = following, 0

    def _inode(self, block: int, offset: int) -> _Inode:
        place = f"inode {block:#x}:{offset:#x}"
        raw, start, offset = self._read(self._inode_table + block, offset, 16)
        kind, mode, uid, gid, mtime, number = struct.unpack("<HHHHII", raw)
        basic = kind - 7 if kind > 7 else kind
        if basic not in _TYPES:
            raise self._corrupt(place, f"unknown type {kind}")
        if max(uid, gid) >= len(self._ids):
            raise self._corrupt(place, f"owner {max(uid, gid)} of {len(self._ids)}")
        extra: dict[str, object] = {}
        if kind == 1:
            raw, start, offset = self._read(start, offset, 16)
            directory, _, size, at, _ = struct.unpack("<IIHHI", raw)
            extra = {"size": size, "block": directory, "offset": at}
        elif kind == 8:
            raw, start, offset = self._read(start, offset, 24)
            _, size, directory, _, _, at, _ = struct.unpack("<IIIIHHI", raw)
            extra = {"size": size, "block": directory, "offset": at}
        elif basic == 2:
            extra = self._file_inode(kind, start, offset, place)
        elif basic == 3:
            raw, start, offset = self._read(start, offset, 8)
            size = int.from_bytes(raw[4:], "little")
            if size > self._context.limits.path:
                raise LimitExceededError(self._source.name, place, f"a link of {size} bytes")
            raw, start, offset = self._read(start, offset, size)
            extra = {"target": raw.decode("utf-8", "backslashreplace")}
        return _Inode(_TYPES[basic], mode & 0o7777, self._ids[uid], self._ids[gid], mtime, number, **extra)  # type: ignore[arg-type]

    def _file_inode(self, kind: int, start: int, offset: int, place: str) -> dict[str, object]:
        if kind == 2:
            raw, start, offset = self._read(start, offset, 16)
            block, fragment, at, size = struct.unpack("<IIII", raw)
        else:
            raw, start, offset = self._read(start, offset, 40)
            block, size, _, _, fragment, at, _ = struct.unpack("<QQQIIII", raw)
        if size > self._context.limits.expanded:
            raise LimitExceededError(self._source.name, place, f"a file of {size} bytes")
        count = size // self.block_size if fragment != _NONE else -(-size // self.block_size)
        raw, _, _ = self._read(start, offset, count * 4)
        sizes = tuple(int(value[0]) for value in struct.iter_unpack("<I", raw))
        return {"size": size, "block": block, "offset": at, "fragment": fragment, "block_sizes": sizes}

    def _listing(self, inode: _Inode, path: str) -> Iterator[tuple[str, int, int]]:
        place = f"directory /{path}"
        left = inode.size - 3  # The size counts `.` and `..`, which are not stored.
        start, offset = self._directory_table + inode.block, inode.offset
        while left > 0:
            raw, start, offset = self._read(start, offset, 12)
            count, block, _ = struct.unpack("<III", raw)
            if count > 255:
                raise self._corrupt(place, f"{count + 1} entries under one header (limit 256)")
            left -= 12
            for _ in range(count + 1):
                raw, start, offset = self._read(start, offset, 8)
                at, _, _, name_size = struct.unpack("<HhHH", raw)
                if name_size > 255:
                    raise self._corrupt(place, f"a name of {name_size + 1} bytes")
                name, start, offset = self._read(start, offset, name_size + 1)
                left -= 8 + len(name)
                text = name.decode("utf-8", "backslashreplace")
                if "/" in text or text in (".", ".."):
                    raise self._corrupt(place, f"the name {text!r}")
                yield text, block, at

    def walk(self) -> Iterator[tuple[str, _Inode]]:
        """Yield every path below the root with its inode; a directory that contains itself ends at the depth limit."""
        root = self._inode(self._root >> 16, self._root & 0xFFFF)
        if root.type != "directory":
            raise self._corrupt("root", f"is a {root.type}")
        stack: list[tuple[str, Iterator[tuple[str, int, int]]]] = [("", self._listing(root, ""))]
        while stack:
            parent, listing = stack[-1]
            found = next(listing, None)
            if found is None:
                stack.pop()
                continue
            name, block, offset = found
            path = f"{parent}/{name}" if parent else name
            self._context.count_entry(self._source.name, path)
            inode = self._inode(block, offset)
            yield path, inode
            if inode.type == "directory":
                if len(stack) >= self._context.limits.depth:
                    raise LimitExceededError(self._source.name, path[:80], f"deeper than {self._context.limits.depth}")
                stack.append((path, self._listing(inode, path)))

    def chunks(self, path: str, inode: _Inode) -> Iterator[bytes]:
        """Yield a file's content block by block."""
        place = f"/{path}"
        left, start = inode.size, inode.block
        for entry in inode.block_sizes:
            expected = min(left, self.block_size)
            size = entry & 0xFFFFFF
            if entry == 0:
                self._context.count_expanded(self._source.name, expected)
                data = bytes(expected)
            else:
                data = self._data_block(start, entry, place)
                start += size
            if len(data) != expected:
                raise self._corrupt(place, f"a block of {len(data)} bytes where {expected} belong")
            left -= expected
            yield data
        if left:
            if inode.fragment >= len(self._fragment_table):
                raise self._corrupt(place, f"fragment {inode.fragment} of {len(self._fragment_table)}")
            block, entry = self._fragment_table[inode.fragment]
            data, _ = self._fragments.get(block, lambda: (self._data_block(block, entry, place), 0))
            if inode.offset + left > len(data):
                raise self._corrupt(place, "its end is outside its fragment")
            self._context.count_expanded(self._source.name, left)
            yield data[inode.offset : inode.offset + left]

    def _data_block(self, start: int, entry: int, place: str) -> bytes:
        size = entry & 0xFFFFFF
        if size > self.block_size + MIB:
            raise self._corrupt(place, f"a block of {size} bytes (block size {self.block_size})")
        data = self._source.read_at(start, size, f"the content of {place}")
        if entry & 0x1000000:
            return data
        return self._expand(data, self.block_size, place)


def inspect_squashfs(source: Source, context: Context) -> SquashfsFacts:
    """Return all names of an image, with digest and machine of every file."""
    image = Squashfs(source, context)
    entries: list[Entry] = []
    documents: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path, inode in image.walk():
        content = read_content(path, image.chunks(path, inode)) if inode.type == "file" else None
        if inode.type == "file" and _SPDX.fullmatch(path) and context.take_document(inode.size):
            documents[path] = b"".join(image.chunks(path, inode)).decode("utf-8", "replace")
        if inode.type == "file" and is_kept(path) and context.take_document(inode.size):
            texts[path] = b"".join(image.chunks(path, inode)).decode("utf-8", "replace")
        entries.append(
            Entry(
                path=path,
                type=inode.type,
                mode=inode.mode,
                uid=inode.uid,
                gid=inode.gid,
                mtime=inode.mtime,
                size=inode.size if inode.type == "file" else 0,
                target=inode.target,
                sha256=content.sha256 if content else None,
                machine=content.machine if content else None,
                vermagic=content.vermagic if content else None,
                depends=content.depends if content else None,
            )
        )
    return SquashfsFacts(
        compression=image.compression,
        block_size=image.block_size,
        created=image.created,
        entries=tuple(entries),
        documents=documents,
        texts=texts,
    )
