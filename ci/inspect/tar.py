"""Tar archives, member by member, with the library's trust in header sizes taken away."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal, Self, TypeVar, cast

from ci.inspect.errors import (
    CorruptFileError,
    InspectError,
    LimitExceededError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFileError,
)
from ci.inspect.limits import CHUNK, MIB
from ci.inspect.member import Member
from ci.inspect.numbers import tar_number
from ci.inspect.source import ByteStream, Source, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci.inspect.context import Context
    from ci.inspect.models import EntryType

#: Bytes of an extended header (pax, GNU long name), which the library reads whole.
_EXTENDED = 1 * MIB

_TYPES: dict[bytes, EntryType] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.LNKTYPE: "hardlink",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character",
    tarfile.BLKTYPE: "block",
    tarfile.DIRTYPE: "directory",
    tarfile.FIFOTYPE: "fifo",
}

#: Where a header has numbers (POSIX, "ustar Interchange Format"): mode, owner, group, size, time, checksum.
_NUMBERS = ((100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (148, 156))
#: Of the fields of an extended header, those that hold numbers.
_EXTENDED_NUMBERS = {
    "size": re.compile(r"[0-9]+"),
    "uid": re.compile(r"[0-9]+"),
    "gid": re.compile(r"[0-9]+"),
    "mtime": re.compile(r"-?[0-9]+(\.[0-9]*)?"),
}

_Header = TypeVar("_Header", bound=tarfile.TarInfo)

_EXTENDED_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _bounded(buf: bytes | bytearray, parse: Callable[[], _Header]) -> _Header:
    # The library takes a damaged header for the end of the archive.
    if 0 < len(buf) < tarfile.BLOCKSIZE:
        raise TruncatedFileError("tar", "", "the archive ends inside a header")
    for start, end in _NUMBERS if any(buf) else ():
        if tar_number(bytes(buf[start:end])) is None:
            raise CorruptFileError("tar", "", f"a header field at byte {start} is no number")
    try:
        header = parse()
    except tarfile.HeaderError as error:
        if any(buf):
            raise CorruptFileError("tar", "", f"a damaged header: {error}") from error
        raise
    if header.size < 0 or (header.type in _EXTENDED_TYPES and header.size > _EXTENDED):
        raise LimitExceededError("tar", repr(header.name[:80]), f"a header that claims {header.size} bytes")
    return header


class _BoundedTarInfo(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        return _bounded(buf, lambda: super(_BoundedTarInfo, cls).frombuf(buf, encoding, errors))

    # Newer Pythons (3.13.6, 3.14) read members by this one, past the public one.
    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **options: bool) -> Self:
        parse = super()._frombuf  # type: ignore[misc]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
        return _bounded(buf, lambda: cast("Self", parse(buf, encoding, errors, **options)))


@dataclass(frozen=True)
class TarMember(Member):
    """One member of a tar."""

    target: str | None
    #: Where its content is in the archive.
    offset: int


def is_tar(source_head: bytes) -> bool:
    """Return whether the first 512 bytes are a tar header with a true checksum."""
    if len(source_head) < 512:
        return False
    try:
        tarfile.TarInfo.frombuf(source_head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


#: Bytes that are asked of a stream at a time: the library's own 10 KiB cost as much as expanding what is read.
_BUFFER = 512 * tarfile.BLOCKSIZE


class _StreamFile:
    """A stream in the shape that `tarfile` wants of a file that can't seek."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size)


def stream_members(stream: ByteStream, context: Context) -> Iterator[tuple[TarMember, Iterator[bytes]]]:
    """Yield the members of a tar that comes once and in order, each with its content, read now or never."""
    file = cast("IO[bytes]", _StreamFile(stream))
    for archive, info, member in _members(stream.name, file, "r|", context):
        yield member, _content(stream.name, archive, info)


def list_members(source: Source, context: Context) -> Iterator[TarMember]:
    """Yield the members of an uncompressed tar that can be read anywhere."""
    file = cast("IO[bytes]", SourceFile(source, most=context.limits.metadata, at_once=4 * MIB))
    end = 0
    for archive, _, member in _members(source.name, file, "r:", context):
        end = archive.offset
        if member.type == "file" and member.offset + member.size > source.size:
            raise CorruptFileError(source.name, member.path, f"its {member.size} bytes run past the archive's end")
        yield member
    # An archive ends with blocks of zeros; the library takes one that was cut between two members for complete.
    if end >= source.size:
        raise TruncatedFileError(source.name, f"byte {end}", "the archive's end is missing")


def _members(
    name: str, file: IO[bytes], mode: Literal["r|", "r:"], context: Context
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, TarMember]]:
    place = "tar header"
    try:
        with tarfile.TarFile.open(
            fileobj=file, mode=mode, bufsize=_BUFFER, tarinfo=_BoundedTarInfo, errors="backslashreplace"
        ) as archive:
            for info in archive:
                # The library keeps all it saw: a list without a limit.
                archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
                member = _member(name, info, context)
                place = f"behind {member.path!r}"
                if member.path:
                    yield archive, info, member
    except InspectError as error:
        # Raised inside the library, without the file's name.
        raise (type(error)(name, error.place or place, error.reason) if error.name == "tar" else error) from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, IndexError, UnicodeError) as error:
        raise CorruptFileError(name, place, f"no valid tar: {error}") from error


def _member(name: str, info: tarfile.TarInfo, context: Context) -> TarMember:
    path = _clean(info.name)
    context.count_entry(name, path)
    for key, value in cast("dict[str, str]", info.pax_headers).items():
        if key in _EXTENDED_NUMBERS and not _EXTENDED_NUMBERS[key].fullmatch(value):
            raise CorruptFileError(name, path, f"its {key} {value[:80]!r} is no number")
    if info.issparse():
        raise UnsupportedFileError(name, path, "a sparse file")
    if info.type not in _TYPES:
        raise UnsupportedFileError(name, path, f"a member of the unknown type {info.type!r}")
    kind = _TYPES[info.type]
    target = info.linkname if kind in ("symlink", "hardlink") else None
    if kind == "hardlink" and (info.linkname.startswith("/") or ".." in info.linkname.split("/")):
        raise UnsafePathError(name, path, f"a hard link to {info.linkname!r}, out of the archive")
    return TarMember(
        path,
        kind,
        info.mode & 0o7777,
        info.uid,
        info.gid,
        int(info.mtime),
        info.size if kind == "file" else 0,
        target,
        info.offset_data,
    )


def _clean(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return "" if name == "." else name.rstrip("/") if not name.startswith("/") else name


def _content(name: str, archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    if not info.isreg():
        return
    file = archive.extractfile(info)
    assert file is not None
    left = info.size
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise CorruptFileError(name, info.name, f"its content is cut short, {left} bytes lack")
        left -= len(chunk)
        yield chunk
