"""The newc cpio format, by the rules of the kernel that unpacks an initramfs (its `init/initramfs.c`).

Numbers are eight hexadecimal digits and nothing else, an archive and every header in it begin at a multiple of four
bytes, a name ends with a NUL, and files of one inode are one file, whichever of them brings the content. Layout: the
kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.member import Member
from ci.inspect.modes import TYPES_BY_MODE
from ci.inspect.numbers import number
from ci.inspect.source import ByteStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context
    from ci.inspect.source import Source

_CHECKED: Final = b"070702"
MAGICS: Final = (b"070701", _CHECKED)
#: The magic number and thirteen fields.
HEADER: Final = 110
_ALIGNMENT: Final = 4
TRAILER: Final = "TRAILER!!!"
#: `PATH_MAX` of the kernel, which passes over what is longer.
_LONGEST: Final = 4096


class Fields(NamedTuple):
    """A header's numbers, in their order."""

    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    size: int
    device_major: int
    device_minor: int
    special_device_major: int
    special_device_minor: int
    name_size: int
    checksum: int

    @property
    def padded_name(self) -> int:
        """Return the bytes of the name and of the padding behind it."""
        return self.name_size + -(HEADER + self.name_size) % _ALIGNMENT

    @property
    def padded_size(self) -> int:
        """Return the bytes of the content and of the padding behind it."""
        return self.size + -self.size % _ALIGNMENT


def field_place(name: str) -> slice:
    """Return where in a header the eight digits of a field are."""
    start = 6 + 8 * Fields._fields.index(name)
    return slice(start, start + 8)


def parse_header(raw: bytes, name: str, place: str) -> Fields:
    """Return the numbers of a header; raises for an invalid one, with the file's name and the place given."""
    if raw[:6] not in MAGICS:
        raise CorruptFileError(name, place, f"no newc header but {raw[:6]!r}")
    values = [number(raw[at : at + 8], 16) for at in range(6, HEADER, 8)]
    found = Fields._make(-1 if value is None else value for value in values)
    if -1 in found:
        raise CorruptFileError(name, place, "a header field is no hexadecimal number")
    if not 0 < found.name_size <= _LONGEST:
        raise LimitExceededError(name, place, f"a name of {found.name_size} bytes (limit {_LONGEST})")
    if stat.S_ISLNK(found.mode) and found.size > _LONGEST:
        raise LimitExceededError(name, place, f"a link of {found.size} bytes (limit {_LONGEST})")
    return found


@dataclass(frozen=True)
class CpioHeader(Member):
    """One member; its content follows in the stream."""

    inode: int
    links: int
    #: Where the header begins, in bytes of the stream.
    offset: int
    #: What members that are one file have in common; `None` for all others.
    one_file: tuple[int, ...] | None


def plain_archive(source: Source, offset: int, name: str) -> ByteStream:
    """Return an archive that is not compressed, from a place in a file on; raises where the kernel sees none there."""
    if offset % _ALIGNMENT:
        raise CorruptFileError(source.name, f"byte {offset}", "a cpio archive that begins at no multiple of 4 bytes")
    return ByteStream(name, source.chunks(offset))


def read_members(
    stream: ByteStream, context: Context, *, one_archive: bool
) -> Iterator[tuple[CpioHeader, Iterator[bytes]]]:
    """Yield each member with its content, which is passed over if it isn't read.

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
        if at % _ALIGNMENT:
            raise CorruptFileError(stream.name, place, "it begins at no multiple of 4 bytes")
        raw = stream.read_exactly(HEADER, "a cpio header (no TRAILER!!! seen)")
        fields = parse_header(raw, stream.name, place)
        text = stream.read_exactly(fields.padded_name, "a cpio name")[: fields.name_size]
        if not text.endswith(b"\0"):
            raise CorruptFileError(stream.name, place, f"the name {text[:80]!r} does not end with a NUL")
        name = text.rstrip(b"\0").decode("utf-8", "backslashreplace")
        if name == TRAILER:
            return
        if stat.S_IFMT(fields.mode) not in TYPES_BY_MODE:
            raise CorruptFileError(stream.name, place, f"{name!r} has the unknown mode {fields.mode:#o}")
        kind = TYPES_BY_MODE[stat.S_IFMT(fields.mode)]
        path = _clean(name)
        context.count_entry(stream.name, path)
        content = stream.pieces(fields.size, f"the content of {name!r} (archive at byte {start})")
        if raw[:6] == _CHECKED and kind == "file":
            content = _checked(content, fields.checksum, stream.name, place)
        linked = kind == "file" and fields.links > 1
        yield (
            CpioHeader(
                path=path,
                type=kind,
                mode=stat.S_IMODE(fields.mode),
                uid=fields.uid,
                gid=fields.gid,
                mtime=fields.mtime,
                size=fields.size,
                inode=fields.inode,
                links=fields.links,
                offset=at,
                one_file=(start, fields.device_major, fields.device_minor, fields.inode) if linked else None,
            ),
            content,
        )
        for _ in content:
            pass
        stream.skip(fields.padded_size - fields.size, "a cpio entry's padding")


def _checked(content: Iterator[bytes], checksum: int, name: str, place: str) -> Iterator[bytes]:
    """Yield content, then hold the sum of its bytes against the header's: `070702` has one, and the kernel looks."""
    total = 0
    for piece in content:
        total += sum(piece)
        yield piece
    if total & 0xFFFFFFFF != checksum:
        raise CorruptFileError(name, place, "the sum of its bytes is not the header's")


def _clean(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/") or "."
    return name
