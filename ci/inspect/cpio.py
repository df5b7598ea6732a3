"""The newc cpio format, as the kernel reads an initramfs (its documentation: early-userspace, buffer-format)."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.inspect.errors import CorruptFileError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context
    from ci.inspect.models import EntryType
    from ci.inspect.source import ByteStream

MAGICS = (b"070701", b"070702")
_HEADER = 110
_TRAILER = "TRAILER!!!"

_TYPES: dict[int, EntryType] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class CpioHeader:
    """One member; its content follows in the stream."""

    path: str
    type: EntryType
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    inode: int
    links: int
    #: Where the header begins, in bytes of the stream.
    offset: int


def read_members(
    stream: ByteStream, context: Context, *, one_archive: bool
) -> Iterator[tuple[CpioHeader, Iterator[bytes]]]:
    """Yields each member with its content, which is passed over if it isn't read.

    With `one_archive` reading ends behind the first archive's trailer and padding, else where the stream ends.
    """
    while True:
        stream.skip_zeros()
        if stream.peek() is None:
            return
        yield from _read_archive(stream, context)
        if one_archive:
            stream.skip_zeros()
            return


def _read_archive(stream: ByteStream, context: Context) -> Iterator[tuple[CpioHeader, Iterator[bytes]]]:
    start = stream.offset
    while True:
        at = stream.offset
        place = f"cpio entry at byte {at}"
        raw = stream.read_exactly(_HEADER, "a cpio header (no TRAILER!!! seen)")
        if raw[:6] not in MAGICS:
            raise CorruptFileError(stream.name, place, f"no newc header but {raw[:6]!r}")
        try:
            fields = [int(raw[at : at + 8].decode("ascii"), 16) for at in range(6, _HEADER, 8)]
        except ValueError as error:
            raise CorruptFileError(stream.name, place, "a header field is no hexadecimal number") from error
        inode, mode, uid, gid, links, mtime, size, _, _, _, _, name_size, _ = fields
        if not 0 < name_size <= context.limits.path:
            raise LimitExceededError(stream.name, place, f"a name of {name_size} bytes (limit {context.limits.path})")
        name = stream.read_exactly(name_size, "a cpio name").rstrip(b"\0").decode("utf-8", "backslashreplace")
        stream.skip(-(_HEADER + name_size) % 4, "a cpio header's padding")
        if name == _TRAILER:
            return
        if stat.S_IFMT(mode) not in _TYPES:
            raise CorruptFileError(stream.name, place, f"{name!r} has the unknown mode {mode:#o}")
        path = _clean(name)
        context.count_entry(stream.name, path)
        content = stream.pieces(size, f"the content of {name!r} (archive at byte {start})")
        kind = _TYPES[stat.S_IFMT(mode)]
        yield CpioHeader(path, kind, stat.S_IMODE(mode), uid, gid, mtime, size, inode, links, at), content
        for _ in content:
            pass
        stream.skip(-size % 4, "a cpio entry's padding")


def _clean(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/") or "."
    return name
