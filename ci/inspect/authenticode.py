"""Programs without their Authenticode signatures, where they are: in a UKI, an ESP, an ISO or disk image, a tar.

A signature has the time at which it was made, so the same program, signed twice, is two files. What stays of a
signature here are the certificates in it: a program that somebody else signed is another one.

Formats: Microsoft's "PE Format", section "The Attribute Certificate Table"; RFC 2315 (PKCS #7) in DER.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.inspect.context import Context
from ci.inspect.disk import read_partitions, sector_size
from ci.inspect.errors import InspectError
from ci.inspect.fat import Fat
from ci.inspect.iso import inspect_iso
from ci.inspect.kinds import kind_of
from ci.inspect.limits import MIB
from ci.inspect.pe import open_pe, read_pe
from ci.inspect.source import ExtentSource, Source
from ci.inspect.tar import list_members
from ci.inspect.virtual_disk import vhd_content

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of `IMAGE_OPTIONAL_HEADER`: where its checksum is, and which of its directories has the signatures.
_CHECKSUM: Final = 64
_SECURITY: Final = 4
#: `WIN_CERTIFICATE`: its header's size, and the types of PKCS #7, as UEFI has it.
_HEADER: Final = 8
_PKCS_7: Final = (0x0200, 0x0002)
_LARGEST_TABLE: Final = 1 * MIB
#: DER's tags: SEQUENCE, SET, INTEGER, OBJECT IDENTIFIER, and what is tagged 0 by its context.
_SEQUENCE, _SET, _INTEGER, _OBJECT, _TAGGED = 0x30, 0x31, 0x02, 0x06, 0xA0
#: An MBR's partition entries, and the type of an EFI system partition.
_MBR: Final = range(446, 510, 16)
_EFI_TYPE: Final = 0xEF

#: A VHD's checksum and id, which are one behind the other: bytes from there to the file's end, and their number. The id
#: is made of the disk's bytes, so that the same disk is the same file.
_VHD_FOLLOWS, _VHD_FOLLOWING = 512 - 64, 4 + 16

#: Where a signature is: the program's path, and bytes of the source.
_Range = tuple[str, int, int]


@dataclass(frozen=True)
class Unsigned:
    """A source as it is without signatures, all of whose bytes are zeros, and the signed programs in it."""

    source: Source
    programs: tuple[str, ...] = ()


def without_signatures(source: Source) -> Unsigned:
    """Return a source as it is without the signatures of the programs in it; `""` is the source itself."""
    ranges = _ranges(source)
    if not ranges:
        return Unsigned(source)
    extents: list[tuple[int | None, int]] = []
    at = 0
    for offset, length in sorted([*((offset, length) for _, offset, length in ranges), *_following(source)]):
        if offset < at:
            return Unsigned(source)  # They overlap: no tool makes that.
        extents += [(at, offset - at), (None, length)]
        at = offset + length
    extents.append((at, source.size - at))
    return Unsigned(
        ExtentSource(source.name, source, extents), tuple(sorted(dict.fromkeys(name for name, _, _ in ranges)))
    )


def _following(source: Source) -> list[tuple[int, int]]:
    """Return the place of what follows from all bytes of the disk in a VHD, and so from the signatures in it."""
    try:
        is_vhd = vhd_content(source) is not None
    except InspectError:  # It only looks like one, or is broken.
        return []
    return [(source.size - _VHD_FOLLOWS, _VHD_FOLLOWING)] if is_vhd else []


def _ranges(source: Source) -> list[_Range]:
    """Return where signatures are; nothing in what can't be read, which is compared as it is."""
    try:
        kind = kind_of(source)
        if kind == "pe":
            return [*(("", *place) for place in _own(source)), *_inside(_sections(source))]
        if kind in ("iso", "disk"):
            return list(_inside(_media(source, kind)))
        if kind == "fat":
            return list(_inside(_fat_files(source)))
        if kind == "tar":
            return list(_inside(_members(source)))
    except InspectError:
        pass
    return []


def _inside(parts: Iterator[tuple[str, Source]]) -> Iterator[_Range]:
    for name, part in parts:
        for path, offset, length in _ranges(part):
            assert isinstance(part, ExtentSource)
            for there, size in part.places(offset, length):
                yield (f"{name}/{path}" if name and path else name or path), there, size


def _sections(source: Source) -> Iterator[tuple[str, Source]]:
    for name, window, _ in read_pe(source, Context()).sections:
        if window.size:
            yield name, window


def _fat_files(source: Source) -> Iterator[tuple[str, Source]]:
    fat = Fat(source, Context())
    for file in fat.walk():
        if not file.directory and file.size:
            yield file.path, fat.open(file)


def _members(source: Source) -> Iterator[tuple[str, Source]]:
    for member in list_members(source, Context()):
        if member.type == "file" and member.size:
            yield member.path, source.window(member.path, member.offset, member.size)


def _media(source: Source, kind: str) -> Iterator[tuple[str, Source]]:
    """Yield what firmware finds on a medium: an ISO's files, and the partitions with FAT, by table or MBR."""
    if kind == "iso":
        for name, file in inspect_iso(source, Context())[1]:
            if file.size:
                yield name, file
    if sector_size(source) is not None:
        for partition in read_partitions(source, Context()):
            yield "", source.window(partition.name, partition.offset, partition.size)
        return
    head = source.read_up_to(0, 512)
    for at in _MBR if head[510:] == b"\x55\xaa" else ():
        if head[at + 4] == _EFI_TYPE:
            first, count = (int.from_bytes(head[at + more : at + more + 4], "little") for more in (8, 12))
            yield "", source.window("EFI", first * 512, count * 512)


def _own(source: Source) -> list[tuple[int, int]]:
    """Return what of a PE file belongs to its signatures, without the certificates in them."""
    headers = open_pe(source)
    directories = headers.OPTIONAL_HEADER.DATA_DIRECTORY
    if len(directories) <= _SECURITY:
        return []
    directory = directories[_SECURITY]
    # This one directory's address is a place in the file.
    start, size = int(directory.VirtualAddress), int(directory.Size)
    if not start or not size or size > _LARGEST_TABLE or start + size > source.size:
        return []
    found = [
        (int(headers.OPTIONAL_HEADER.get_file_offset()) + _CHECKSUM, 4),
        (int(directory.get_file_offset()), 8),
    ]
    table = source.read_at(start, size, "the certificate table")
    at = 0
    while at + _HEADER <= len(table):
        length = int.from_bytes(table[at : at + 4], "little")
        kind = tuple(int.from_bytes(table[at + more : at + more + 2], "little") for more in (4, 6))
        if length < _HEADER or at + length > len(table) or kind != _PKCS_7:
            return []
        first, last = _certificates(table[at + _HEADER : at + length])
        found += [(start + at, _HEADER + first), (start + at + _HEADER + last, length - _HEADER - last)]
        at += -(-length // 8) * 8
    return [(offset, length) for offset, length in found if length]


def _certificates(der: bytes) -> tuple[int, int]:
    """Return where the certificates are in a PKCS #7 message; an empty place at its beginning where they are not."""
    nothing = (0, 0)
    try:
        at, _ = _content(der, 0, _SEQUENCE)  # ContentInfo
        at = _content(der, at, _OBJECT)[1]
        at, _ = _content(der, at, _TAGGED)
        at, _ = _content(der, at, _SEQUENCE)  # SignedData
        for tag in (_INTEGER, _SET, _SEQUENCE):  # version, digestAlgorithms, contentInfo
            at = _content(der, at, tag)[1]
        return at, _content(der, at, _TAGGED)[1]
    except (ValueError, IndexError):
        return nothing


def _content(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Return where the content of a DER value begins and ends."""
    if der[at] != tag:
        raise ValueError(f"tag {der[at]:#x} in place of {tag:#x}")
    length = der[at + 1]
    begin = at + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin])
    if begin + length > len(der):
        raise ValueError("it ends too early")
    return begin, begin + length
