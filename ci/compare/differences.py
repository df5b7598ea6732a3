"""The first difference of two files: their parts are gone through side by side, down to a field or a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ci.compare.archives import cpio_parts, tar_parts
from ci.compare.disks import disk_parts, stored_parts
from ci.compare.filesystems import fat_parts, iso_parts, squashfs_parts, xfs_parts
from ci.compare.parts import DIGEST
from ci.compare.programs import pe_parts
from ci.compare.texts import as_text, bytes_difference, text_difference
from ci.inspect.authenticode import without_signatures
from ci.inspect.compression import Frame, compression_of, expand
from ci.inspect.context import Context
from ci.inspect.cpio import MAGICS, plain_archive, read_members
from ci.inspect.errors import InspectError
from ci.inspect.kinds import kind_of
from ci.inspect.limits import CHUNK, LIMITS
from ci.inspect.source import ByteStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci.compare.parts import Part
    from ci.inspect.source import Source


class FirstDifference(BaseModel):
    """Where two files begin to differ, from the outside in, and the two values there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: tuple[str, ...]
    one: str
    other: str

    def within(self, name: str) -> FirstDifference:
        """Return the same difference, one level further out."""
        return self.model_copy(update={"place": (name, *self.place)})

    def __str__(self) -> str:
        return f"{': '.join(self.place)}: {self.one} | {self.other}"


class _OfDigests(FirstDifference):
    """A difference of two texts that are the same but for digests: those follow from what is compared elsewhere."""


def first_difference(one: Source, other: Source, unsigned: set[str] | None = None) -> FirstDifference | None:
    """Return where two files begin to differ, `None` where they are equal.

    Of signed programs all but the signature is compared: it has the time at which it was made. Their names go into
    `unsigned`, of a file that is such a program itself the empty one. What a reader can't take for what it seems to be
    is compared as bytes.
    """
    unsigned = set[str]() if unsigned is None else unsigned
    offset = first_offset(one, other)
    if offset is None:
        return None
    kinds = _kind(one), _kind(other)
    if kinds[0] != kinds[1]:
        return FirstDifference(place=("kind",), one=kinds[0], other=kinds[1])
    left, right = without_signatures(one), without_signatures(other)
    if left.programs and left.programs == right.programs:
        one, other = left.source, right.source
        unsigned.update(left.programs)
        offset = first_offset(one, other)
        if offset is None:
            return None
    within = set[str]()
    try:
        found = _by_kind(kinds[0], one, other, within)
    except InspectError:
        return _by_bytes(one, other, offset)
    unsigned |= within
    if found is None and within and kinds[0] in _REPACKED:
        return None
    return found or _by_bytes(one, other, offset)


def first_offset(one: Source, other: Source) -> int | None:
    """Return the place of the first byte that differs, `None` where there is none."""
    at = 0
    while (at := min(one.next_data(at), other.next_data(at))) < min(one.size, other.size):
        left, right = one.read_up_to(at, CHUNK), other.read_up_to(at, CHUNK)
        if left != right:
            pairs = zip_longest(left, right)
            return at + next(number for number, (a, b) in enumerate(pairs) if a != b)
        at += len(left)
    return min(one.size, other.size) if one.size != other.size else None


_PARTS: dict[str, Callable[[Source], Iterator[Part]]] = {
    "tar": tar_parts,
    "PE": pe_parts,
    "squashfs": squashfs_parts,
    "ISO": iso_parts,
    "disk": disk_parts,
    "qcow2": stored_parts,
    "vhd": stored_parts,
    "vmdk": stored_parts,
    "FAT": fat_parts,
    "XFS": xfs_parts,
}


#: What a text has of another file: its digest, and in an OVA the size of its disk as it is packed.
_FOLLOWS = re.compile(rf'{DIGEST.pattern}|\b[0-9a-f]{{40}}\b|(?<=ovf:size=")\d+(?=")')

#: Kinds in which a signed program changes bytes around it, too: those of its packed form, digests of it.
_REPACKED = ("archive", "tar", "qcow2", "vmdk")

#: What the kernel takes one behind the other for an initramfs.
_SEGMENTS = ("zstd", "xz", "gzip", "cpio")
_ACRONYMS = ("pe", "iso", "fat", "xfs")


def _kind(source: Source) -> str:
    """Return what a file seems to be, as differences call it."""
    found = kind_of(source)
    return "archive" if found in _SEGMENTS else found.upper() if found in _ACRONYMS else found


def _by_kind(kind: str, one: Source, other: Source, unsigned: set[str]) -> FirstDifference | None:
    if kind == "archive":
        if _is_cut(one) and _is_cut(other):
            return _by_whole(one, other, unsigned)
        return _by_segments(one, other, unsigned)
    parts = _PARTS.get(kind)
    return _by_parts(parts(one), parts(other), unsigned) if parts else None


def _by_parts(ones: Iterator[Part], others: Iterator[Part], unsigned: set[str]) -> FirstDifference | None:
    of_digests: FirstDifference | None = None
    for number, (one, other) in enumerate(zip_longest(ones, others)):
        if one is None or other is None or _name(one) != _name(other):
            names = [part.name if part else "nothing" for part in (one, other)]
            return FirstDifference(place=(f"part {number}",), one=names[0], other=names[1])
        if (found := _part_difference(one, other, unsigned)) is None:
            continue
        if not isinstance(found, _OfDigests):
            return of_digests if of_digests and not unsigned else found.within(one.name)
        of_digests = of_digests or found.within(one.name)
    return None if unsigned else of_digests


def _name(part: Part) -> str:
    return DIGEST.sub("digest", part.name)


def _part_difference(one: Part, other: Part, unsigned: set[str]) -> FirstDifference | None:
    if one.inside and other.inside:
        return _by_parts(one.inside(), other.inside(), unsigned)
    assert one.content is not None
    assert other.content is not None
    if one.show is None:
        within = set[str]()
        found = first_difference(one.content, other.content, within)
        # A part has the name of what it is in: an entry.
        unsigned.update(name or one.name for name in within)
        return found
    left, right = (one.show(content.read_up_to(0, LIMITS.text)) for content in (one.content, other.content))
    return None if left == right else FirstDifference(place=(), one=left, other=right)


@dataclass(frozen=True)
class _Segment:
    """A compressed frame or a plain archive: what the kernel takes one behind the other for an initramfs."""

    name: str
    packed: Source
    #: `None` where nothing is packed.
    expanded: Source | None = None


def _by_segments(one: Source, other: Source, unsigned: set[str]) -> FirstDifference | None:
    for number, (left, right) in enumerate(zip_longest(_segments(one), _segments(other))):
        if left is None or right is None or left.name != right.name:
            names = [segment.name if segment else "nothing" for segment in (left, right)]
            return FirstDifference(place=(f"part {number}",), one=names[0], other=names[1])
        if (found := _segment_difference(left, right, unsigned)) is not None:
            # Most have a single archive, which needs no name.
            return found if number == 0 and left.expanded is None else found.within(left.name)
    return None


def _is_cut(source: Source) -> bool:
    """Return whether one thing, such as a disk image, is packed in many small frames."""
    if compression_of(source.read_up_to(0, 8)) != "zstd":
        return False
    frame = Frame(source, 0, "zstd", Context())
    head = b""
    for chunk in frame.chunks():
        head = head or chunk
        if frame.expanded > CHUNK:
            return False
    return frame.end < source.size and head[:6] not in MAGICS


def _by_whole(one: Source, other: Source, unsigned: set[str]) -> FirstDifference | None:
    contexts = Context(), Context()
    left, right = (
        context.spool(f"{source.name}: expanded", expand(source, "zstd", context))
        for source, context in zip((one, other), contexts, strict=True)
    )
    with left, right:
        return first_difference(left, right, unsigned)


def _segment_difference(one: _Segment, other: _Segment, unsigned: set[str]) -> FirstDifference | None:
    if one.expanded is None or other.expanded is None:
        return _by_parts(cpio_parts(one.packed), cpio_parts(other.packed), unsigned)
    within = set[str]()
    if (found := first_difference(one.expanded, other.expanded, within)) is not None:
        return found
    if within:
        unsigned |= within
        return None
    if first_offset(one.packed, other.packed) is None:
        return None
    values = [f"{part.size} bytes (sha256 {part.sha256()[:12]}…)" for part in (one.packed, other.packed)]
    return FirstDifference(place=("the same content is packed in two ways",), one=values[0], other=values[1])


def _segments(source: Source) -> Iterator[_Segment]:
    offset, number = 0, 0
    while True:
        offset += ByteStream(source.name, source.chunks(offset)).skip_zeros()
        if offset >= source.size:
            return
        context = Context()
        if kind := compression_of(source.read_up_to(offset, 8)):
            name = f"{kind} frame {number}"
            frame = Frame(source, offset, kind, context)
            with context.spool(f"{source.name}: {name}", frame.chunks()) as expanded:
                yield _Segment(name, source.window(name, offset, frame.end - offset), expanded)
            offset = frame.end
        else:
            name = f"archive {number}"
            stream = plain_archive(source, offset, f"{source.name}: {name}")
            for _ in read_members(stream, context, one_archive=True):
                pass
            yield _Segment(name, source.window(name, offset, stream.offset))
            offset += stream.offset
        number += 1


def _by_bytes(one: Source, other: Source, offset: int) -> FirstDifference:
    if max(one.size, other.size) <= LIMITS.text:
        texts = [as_text(source.read_up_to(0, LIMITS.text)) for source in (one, other)]
        if texts[0] is not None and texts[1] is not None:
            place, left, right = text_difference(texts[0], texts[1])
            same = _FOLLOWS.sub("", texts[0]) == _FOLLOWS.sub("", texts[1])
            return (_OfDigests if same else FirstDifference)(place=(place,), one=left, other=right)
    place, left, right = bytes_difference(one.read_up_to(offset, 16), other.read_up_to(offset, 16), offset)
    return FirstDifference(place=(place,), one=left, other=right)
