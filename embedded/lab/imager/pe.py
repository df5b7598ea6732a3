"""Sections of PE files: read one of them, and put more behind a boot stub's own, as a unified kernel image has them.

The layout is that of Microsoft's PE format; what the headers say of a section is what the real imager writes.
"""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from .errors import ImagerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SECTION = struct.Struct("<8s6I2HI")
_READABLE_DATA = 0x40000040
# Offsets in the optional header; the same in PE32 and PE32+.
_INITIALIZED, _ALIGNMENTS, _SIZES, _CHECKSUM = 8, 32, 56, 64
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Section:
    """One section to append: its name and the file with its contents."""

    name: str
    file: Path


@dataclass
class _Header:
    """One section's header: sizes and offsets in bytes."""

    name: str
    size: int
    address: int
    room: int
    offset: int
    flags: int

    def packed(self) -> bytes:
        sizes = (self.size, self.address, self.room, self.offset)
        return _SECTION.pack(self.name.encode(), *sizes, 0, 0, 0, 0, self.flags)


class _Headers:
    """The headers of a PE file, as they are or as they are to become."""

    def __init__(self, data: bytes) -> None:
        try:
            (self._coff,) = struct.unpack_from("<I", data, 0x3C)
            count, optional_size = struct.unpack_from("<H12xH", data, self._coff + 6)
            self._optional = self._coff + 24
            self._table = self._optional + optional_size
            self.section_alignment, self.file_alignment = struct.unpack_from("<II", data, self._optional + _ALIGNMENTS)
            (self.size,) = struct.unpack_from("<I", data, self._optional + _SIZES + 4)
            (self.initialized,) = struct.unpack_from("<I", data, self._optional + _INITIALIZED)
            self.sections = [self._section(data, self._table + _SECTION.size * at) for at in range(count)]
        except struct.error:
            raise ImagerError("unexpected EOF") from None

    @staticmethod
    def _section(data: bytes, at: int) -> _Header:
        name, size, address, room, offset, *_, flags = _SECTION.unpack_from(data, at)
        return _Header(name.rstrip(b"\0").decode(errors="replace"), size, address, room, offset, flags)

    @property
    def room(self) -> int:
        """How many sections the headers can name."""
        return (_up(self.size, self.file_alignment) - self._table) // _SECTION.size

    def write(self, file: BinaryIO, timestamp: int) -> None:
        """Write the headers over those of the file that they were read from."""
        last = self.sections[-1]
        image = _up(last.address + last.size, self.section_alignment)
        for offset, form, values in (
            (self._coff + 6, "<HI", (len(self.sections), timestamp & 0xFFFFFFFF)),
            (self._optional + _INITIALIZED, "<I", (self.initialized,)),
            (self._optional + _SIZES, "<II", (image, _up(self.size, self.file_alignment))),
            (self._optional + _CHECKSUM, "<I", (0,)),
        ):
            file.seek(offset)
            file.write(struct.pack(form, *values))
        file.seek(self._table)
        file.writelines(section.packed() for section in self.sections)


def section_of(data: bytes, wanted: str) -> bytes:
    """Returns a section's contents without the padding.

    Raises ImagerError when there is no such section.
    """
    for section in _Headers(data).sections:
        if section.name == wanted:
            return data[section.offset : section.offset + section.room].rstrip(b"\0")
    raise ImagerError(f"could not find {wanted.removeprefix('.').upper()} section")


def append_sections(stub: bytes, sections: Sequence[Section], timestamp: int, target: BinaryIO) -> None:
    """Writes a PE file with further sections, each read once; one that the stub has takes the place of the stub's.

    Raises ImagerError when the stub has no room for them.
    """
    headers = _Headers(stub)
    own = {section.name: section for section in headers.sections}
    target.write(stub)
    for section in sections:
        size = section.file.stat().st_size
        with section.file.open("rb") as content:
            if (replaced := own.get(section.name)) is not None:
                if size > replaced.room:
                    raise ImagerError(f"not enough space in existing section {section.name} to append new data")
                replaced.size = size
                target.seek(replaced.offset)
                target.write(content.read().ljust(replaced.room, b"\0"))
                continue
            last = headers.sections[-1]
            offset = _up(target.seek(0, 2), headers.file_alignment)
            address = _up(last.address + last.size, headers.section_alignment)
            room = _up(size, headers.file_alignment)
            headers.sections.append(_Header(section.name, size, address, room, offset, _READABLE_DATA))
            headers.initialized += size
            target.seek(offset)
            shutil.copyfileobj(content, target, _CHUNK)
            target.truncate(offset + room)
    if len(headers.sections) > headers.room:
        raise ImagerError("not enough header space to add sections")
    headers.write(target, timestamp)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
