"""One .xz stream of blocks that were packed apart, as `xz --threads` writes it.

The library's encoder knows one block a stream. Streams one after the other would be a valid file too, but readers that
stop after the first (Rust's `XzDecoder`, Python's `LZMADecompressor`) would take it for the whole image.
Format: https://tukaani.org/xz/xz-file-format.txt (sections 2 to 4).
"""

from __future__ import annotations

import lzma
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PRESET = 0
_CHECK = lzma.CHECK_CRC64
_STREAM_FLAGS = bytes([0, _CHECK])

#: Bytes of a stream's header, and of its footer.
_END = 12


class Block(NamedTuple):
    """A block with its padding, and what the index says of it."""

    data: bytes
    unpadded_size: int
    uncompressed_size: int


def block(content: bytes) -> Block:
    """Pack content, which must not be empty, as one block."""
    packed = lzma.compress(content, format=lzma.FORMAT_XZ, check=_CHECK, preset=_PRESET)
    footer = packed[-_END:]
    index_size = (int.from_bytes(footer[4:8], "little") + 1) * 4
    index = packed[-_END - index_size : -_END]
    # Behind the index's two first bytes (indicator, one record) comes the block's unpadded size.
    return Block(packed[_END : -_END - index_size], _read_integer(index[2:]), len(content))


def stream(blocks: Iterable[Block]) -> Iterator[bytes]:
    """Yield a stream of the blocks."""
    yield b"\xfd7zXZ\0" + _STREAM_FLAGS + _crc(_STREAM_FLAGS)
    records: list[bytes] = []
    for each in blocks:
        records.append(_integer(each.unpadded_size) + _integer(each.uncompressed_size))
        yield each.data
    index = b"\0" + _integer(len(records)) + b"".join(records)
    index += bytes(-len(index) % 4)
    index += _crc(index)
    yield index
    sizes_and_flags = (len(index) // 4 - 1).to_bytes(4, "little") + _STREAM_FLAGS
    yield _crc(sizes_and_flags) + sizes_and_flags + b"YZ"


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _integer(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _read_integer(data: bytes) -> int:
    value = 0
    for position, byte in enumerate(data):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            break
    return value
