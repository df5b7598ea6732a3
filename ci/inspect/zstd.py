"""Where the blocks of a zstd frame are, read without expanding it (RFC 8878, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zstandard

from ci.inspect.errors import CorruptFileError
from ci.inspect.limits import KIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.source import Source

#: Bytes that a block expands to, at the most.
_BLOCK: Final = 128 * KIB
#: Bytes of a frame's header, at the most, and of a block's.
_HEADER: Final = 18
_BLOCK_HEADER: Final = 3
_CHECKSUM: Final = 4
_RLE, _RESERVED = 1, 3


def steps(source: Source, offset: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of the frame at `offset`, as (start, end): each expands to `most` bytes at the most.

    The first holds the frame's header, the last its checksum. Raises `CorruptFileError` and `TruncatedFileError`.
    """
    place = f"zstd frame at byte {offset}"
    head = source.read_up_to(offset, _HEADER)
    try:
        has_checksum = zstandard.get_frame_parameters(head).has_checksum
        end = offset + zstandard.frame_header_size(head)
    except zstandard.ZstdError as error:
        if offset + len(head) == source.size and len(head) < _HEADER:
            raise source.cut_short(place) from error
        raise CorruptFileError(source.name, place, str(error)) from error
    start, expanded, last = offset, 0, False
    while not last:
        if end + _BLOCK_HEADER > source.size:
            raise source.cut_short(place)
        header = int.from_bytes(source.read_at(end, _BLOCK_HEADER, "a zstd block's header"), "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == _RESERVED:
            raise CorruptFileError(source.name, place, f"the block at byte {end} is of the reserved type")
        if expanded + _BLOCK > most and end > start:
            yield start, end
            start, expanded = end, 0
        expanded += _BLOCK
        end += _BLOCK_HEADER + (1 if kind == _RLE else size)
        if end > source.size:
            raise source.cut_short(place)
    end += _CHECKSUM if has_checksum else 0
    if end > source.size:
        raise source.cut_short(place)
    yield start, end


def frame_end(source: Source, offset: int) -> int:
    """Return where the frame ends that begins at `offset`."""
    return max(end for _, end in steps(source, offset, _BLOCK))
