"""Bytes with an address: files, and windows on parts of files, read in pieces."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from bisect import bisect_right
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from ci.inspect.errors import CorruptFileError, LimitExceededError, MissingFileError, TruncatedFileError
from ci.inspect.limits import CHUNK, KIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


#: Comparing with zeros is some twenty times as fast as counting them.
_ZEROS = bytes(CHUNK)

#: What is smaller is not worth asking the file system for holes, nor reading by itself.
_PAGE = 64 * KIB


def is_zeros(data: bytes) -> bool:
    """Return whether bytes are nothing but zeros; most of a disk image is such."""
    return all(_ZEROS.startswith(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))


def printable(name: str) -> str:
    """Return a file's name with the bytes that are no UTF-8 written out, as the other readers have them."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class Source:
    """A sequence of bytes of known size that can be read anywhere; `name` is what errors call it."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._sha256: str | None = None

    def _pread(self, offset: int, length: int) -> bytes:
        raise NotImplementedError

    def read_up_to(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes, fewer only where the source ends."""
        length = max(0, min(length, self.size - offset))
        return self._pread(offset, length) if length else b""

    def read_at(self, offset: int, length: int, what: str) -> bytes:
        """Return exactly `length` bytes, or raise with `what` was looked for."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise TruncatedFileError(
                self.name, f"byte {offset}", f"{what} needs {length} bytes, the file ends at {self.size}"
            )
        data = self._pread(offset, length)
        if len(data) != length:
            raise TruncatedFileError(self.name, f"byte {offset}", f"{what} is cut short")
        return data

    def cut_short(self, place: str) -> TruncatedFileError:
        """Return the error for what begins in this source and does not end in it."""
        return TruncatedFileError(self.name, place, f"the file ends at {self.size} inside it")

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield everything from `offset` on in pieces of 1 MiB."""
        while offset < self.size:
            data = self.read_at(offset, min(CHUNK, self.size - offset), "content")
            offset += len(data)
            yield data

    def next_data(self, offset: int) -> int:
        """Return where the next bytes are that may not be zeros, from a place on; the size where there are none."""
        return min(offset, self.size)

    def is_empty(self) -> bool:
        """Return whether all bytes are zeros; holes are passed over."""
        offset = self.next_data(0)
        while offset < self.size:
            data = self.read_up_to(offset, CHUNK)
            if not is_zeros(data):
                return False
            offset = self.next_data(offset + len(data))
        return True

    def window(self, name: str, offset: int, length: int) -> Source:
        """Return a part of this source as a separate source, or raise if it isn't all there."""
        return ExtentSource(name, self, [(offset, length)])

    def sha256(self) -> str:
        """Return the digest of all bytes in hexadecimal; they are read for it once."""
        if self._sha256 is None:
            digest = hashlib.sha256()
            for chunk in self.chunks():
                digest.update(chunk)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def is_known(self, sha256: str) -> None:
        """Take the digest from who has read all bytes for something else."""
        self._sha256 = sha256


class FileSource(Source):
    """An open file; a context manager that closes it."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._file = file
        status = os.fstat(file.fileno())
        #: Whether fewer bytes are allocated than the file has.
        self._sparse = status.st_blocks * 512 < status.st_size
        super().__init__(name, status.st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _pread(self, offset: int, length: int) -> bytes:
        # To read a hole, the kernel fills its cache with pages of zeros: 5 s for a raw disk image, all but empty.
        if self._sparse and length >= _PAGE and self._is_hole(offset, length):
            return _ZEROS if length == CHUNK else bytes(length)
        return os.pread(self._file.fileno(), length, offset)

    def _is_hole(self, offset: int, length: int) -> bool:
        return self.next_data(offset) >= offset + length

    def next_data(self, offset: int) -> int:
        """Return where the next bytes are that may not be zeros, from a place on; the size where there are none."""
        if not self._sparse or offset >= self.size:
            return min(offset, self.size)
        try:
            return min(self.size, os.lseek(self._file.fileno(), offset, os.SEEK_DATA))
        except OSError as error:
            return self.size if error.errno == errno.ENXIO else offset  # no data up to the end, or no such question


class BytesSource(Source):
    """Bytes in memory."""

    def __init__(self, name: str, data: bytes) -> None:
        self._data = data
        super().__init__(name, len(data))

    def _pread(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class ExtentSource(Source):
    """Parts of another source, one after the other: a section, a file on a disk image.

    A part without an offset is a hole: zeros that are nowhere.
    """

    def __init__(self, name: str, parent: Source, extents: Iterable[tuple[int | None, int]]) -> None:
        self._parent = parent
        self._extents = [extent for extent in extents if extent[1]]
        self._starts: list[int] = []
        size = 0
        for offset, length in self._extents:
            if length < 0 or (offset is not None and (offset < 0 or offset + length > parent.size)):
                raise TruncatedFileError(
                    parent.name, f"byte {offset}", f"{name} needs {length} bytes, the file ends at {parent.size}"
                )
            self._starts.append(size)
            size += length
        super().__init__(name, size)

    def _parts(self, offset: int) -> Iterator[tuple[int, int | None, int]]:
        """Yield the parts from a place on: where each begins here, where in the parent, and its length."""
        for number in range(max(0, bisect_right(self._starts, offset) - 1), len(self._extents)):
            there, length = self._extents[number]
            skipped = max(0, offset - self._starts[number])
            if skipped < length:
                yield self._starts[number] + skipped, None if there is None else there + skipped, length - skipped

    def places(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield where bytes of this source are in the parent, as offset and length; those of holes are nowhere."""
        for _, there, size in self._parts(offset):
            if length <= 0:
                return
            if there is not None:
                yield there, min(length, size)
            length -= size

    def _pread(self, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        for _, there, size in self._parts(offset):
            take = min(length, size)
            pieces.append(bytes(take) if there is None else self._parent.read_at(there, take, self.name))
            length -= take
            if length == 0:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def next_data(self, offset: int) -> int:
        """Return where the next bytes are that may not be zeros, from a place on; the size where there are none."""
        for here, there, length in self._parts(offset):
            if there is not None and (found := self._parent.next_data(there)) < there + length:
                return here + found - there
        return self.size


class PagedSource(Source):
    """Another source, for what is read in many small pieces near one another: the last 64 KiB are held."""

    def __init__(self, parent: Source) -> None:
        self._parent = parent
        self._start, self._page = 0, b""
        super().__init__(parent.name, parent.size)

    def _pread(self, offset: int, length: int) -> bytes:
        if not self._start <= offset <= offset + length <= self._start + len(self._page):
            self._start, self._page = offset, self._parent.read_up_to(offset, max(length, _PAGE))
        at = offset - self._start
        return self._page[at : at + length]


class SourceFile(io.RawIOBase):
    """A source in the shape of a file, for libraries; what it gives out in all is limited.

    A library that follows a loop of pointers, or allocates by a size from a header, then ends with a typed error.
    """

    def __init__(self, source: Source, *, most: int, at_once: int) -> None:
        super().__init__()
        self._source = source
        self._position = 0
        self._left = most
        self._at_once = at_once

    def readable(self) -> bool:
        """Say yes: the `io` protocol."""
        return True

    def seekable(self) -> bool:
        """Say yes: the `io` protocol."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; it may be past the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise CorruptFileError(self._source.name, f"byte {base + offset}", "a pointer leads before the file")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; raises where a size or the sum of all reads is absurd."""
        wanted = self._source.size - self._position if size < 0 else size
        if wanted > self._at_once:
            raise LimitExceededError(
                self._source.name, f"byte {self._position}", f"a header claims {wanted} bytes (limit {self._at_once})"
            )
        data = self._source.read_up_to(self._position, wanted)
        self._position += len(data)
        # An empty read counts too: a loop past the end must end as well.
        self._left -= max(len(data), 64)
        if self._left < 0:
            raise LimitExceededError(self._source.name, f"byte {self._position}", "reading its structure does not end")
        return data

    def readall(self) -> bytes:
        """Return the rest."""
        return self.read(-1)


class ByteStream:
    """Bytes that come once and in order, with the position for error messages."""

    def __init__(self, name: str, chunks: Iterator[bytes]) -> None:
        self.name = name
        self.offset = 0
        self._chunks = chunks
        self._buffer = memoryview(b"")

    def _fill(self) -> bool:
        while not self._buffer:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer = memoryview(chunk)
        return True

    def read(self, length: int) -> bytes:
        """Return up to `length` bytes, fewer only at the end."""
        return b"".join(self.pieces(length, None))

    def read_exactly(self, length: int, what: str) -> bytes:
        """Return `length` bytes, or raise with `what` was looked for."""
        return b"".join(self.pieces(length, what))

    def pieces(self, length: int, what: str | None) -> Iterator[bytes]:
        """Yield the next `length` bytes in pieces; with `what`, an early end is an error."""
        while length > 0:
            if not self._fill():
                if what is None:
                    return
                raise TruncatedFileError(self.name, f"byte {self.offset}", f"{what} is cut short, {length} bytes lack")
            piece = bytes(self._buffer[:length])
            self._buffer = self._buffer[length:]
            self.offset += len(piece)
            length -= len(piece)
            yield piece

    def skip(self, length: int, what: str | None = None) -> None:
        """Pass over the next `length` bytes."""
        for _ in self.pieces(length, what):
            pass

    def peek(self) -> int | None:
        """Return the next byte without taking it, `None` at the end."""
        return self._buffer[0] if self._fill() else None

    def skip_zeros(self) -> int:
        """Pass over zero bytes and return how many there were."""
        count = 0
        while self._fill():
            data = bytes(self._buffer)
            stripped = data.lstrip(b"\0")
            zeros = len(data) - len(stripped)
            count += zeros
            self.offset += zeros
            self._buffer = self._buffer[zeros:]
            if stripped:
                break
        return count

    def drain(self) -> None:
        """Read to the end, so that checksums at the end are looked at."""
        while self._fill():
            self.offset += len(self._buffer)
            self._buffer = memoryview(b"")


def open_file(path: Path, name: str | None = None) -> FileSource:
    """Open a regular file for reading; its name in errors is the path as given."""
    name = name or printable(str(path))
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise MissingFileError(name, "", "no such file") from error
    except OSError as error:
        raise MissingFileError(name, "", error.strerror or str(error)) from error
    return FileSource(name, cast("BinaryIO", file))
