"""One .xz stream of many blocks, as `xz --threads` writes it: made of blocks that were packed apart, and taken apart.

The library's encoder knows one block a stream. Streams one after the other would be a valid file too, but readers that
stop after the first (Rust's `XzDecoder`, Python's `LZMADecompressor`) would take it for the whole image. Its decoder
expands each block anew, of which a disk image has hundreds that are the same zeros.
Format: https://tukaani.org/xz/xz-file-format.txt (sections 2 to 4).
"""

from __future__ import annotations

import lzma
import zlib
from typing import TYPE_CHECKING, NamedTuple

from ci.inspect.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.inspect.source import Source

_MAGIC, _END_MAGIC = b"\xfd7zXZ\0", b"YZ"
#: The check that this library can make of what it does not pack.
_CHECK = lzma.CHECK_CRC32

#: LZMA2: bytes of a chunk that is not packed, at the most, and how it begins: with a new dictionary, or the old one.
_CHUNK, _RESET, _KEEP = 1 << 16, 1, 2
#: Size of the header, one filter, no sizes, LZMA2 with a byte that says 256 KiB of dictionary; padding.
_BLOCK_HEADER = bytes([2, 0, 0x21, 1, 12, 0, 0, 0])

#: Bytes of a stream's header, and of its footer.
_END = 12
#: Bytes of a block, packed or not, and of an index, that are held in memory.
_MOST = 32 * MIB


class Block(NamedTuple):
    """A block with its padding, and what the index says of it."""

    data: bytes
    unpadded_size: int
    uncompressed_size: int


class Stream(NamedTuple):
    """A stream that fills its file to the end: the block's place, unpadded and uncompressed size of each block."""

    flags: bytes
    blocks: tuple[tuple[int, int, int], ...]


def pack_block(content: bytes, preset: int) -> Block:
    """Pack content, which must not be empty, as one block."""
    packed = lzma.compress(content, format=lzma.FORMAT_XZ, check=_CHECK, preset=preset)
    index_size = _index_size(packed[-_END:])
    # Behind the index's two first bytes (indicator, one record) comes the block's unpadded size.
    unpadded_size, _ = _read_integer(packed[-_END - index_size : -_END], 2)
    return Block(packed[_END : -_END - index_size], unpadded_size, len(content))


def store_block(content: bytes) -> Block:
    """Return content, which must not be empty, as a block that holds it as it is: LZMA2's uncompressed chunks."""
    chunks = bytearray()
    for at in range(0, len(content), _CHUNK):
        piece = content[at : at + _CHUNK]
        chunks += bytes([_KEEP if at else _RESET]) + (len(piece) - 1).to_bytes(2, "big") + piece
    chunks += b"\0"
    unpadded = _BLOCK_HEADER + _crc(_BLOCK_HEADER) + bytes(chunks)
    return Block(unpadded + bytes(-len(chunks) % 4) + _crc(content), len(unpadded) + 4, len(content))


def write_stream(blocks: Iterable[Block], flags: bytes = bytes([0, _CHECK])) -> Iterator[bytes]:
    """Yield a stream of the blocks; the flags say how each is checked."""
    yield _MAGIC + flags + _crc(flags)
    records: list[bytes] = []
    for each in blocks:
        records.append(_integer(each.unpadded_size) + _integer(each.uncompressed_size))
        yield each.data
    index = b"\0" + _integer(len(records)) + b"".join(records)
    index += bytes(-len(index) % 4)
    index += _crc(index)
    yield index
    sizes_and_flags = (len(index) // 4 - 1).to_bytes(4, "little") + flags
    yield _crc(sizes_and_flags) + sizes_and_flags + _END_MAGIC


def read_stream(source: Source, offset: int) -> Stream | None:
    """Return the stream of several blocks that goes from a place to the file's end.

    `None` where there is another one, or one that is damaged: what is wrong with it shows when it is read in order.
    """
    header, footer = source.read_up_to(offset, _END), source.read_up_to(max(offset, source.size - _END), _END)
    flags = footer[8:10]
    if header != _MAGIC + flags + _crc(flags) or footer != _crc(footer[4:10]) + footer[4:10] + _END_MAGIC:
        return None
    size = _index_size(footer)
    start = source.size - _END - size
    if size > _MOST or start < offset + _END:
        return None
    index = source.read_up_to(start, size)
    if index[-4:] != _crc(index[:-4]):
        return None
    blocks: list[tuple[int, int, int]] = []
    count, at = _read_integer(index, 1)
    if count > size:
        return None
    place = offset + _END
    for _ in range(count):
        unpadded, at = _read_integer(index, at)
        uncompressed, at = _read_integer(index, at)
        if max(unpadded, uncompressed) > _MOST or at > size - 4:
            return None
        blocks.append((place, unpadded, uncompressed))
        place += _padded(unpadded)
    return Stream(flags, tuple(blocks)) if count > 1 and place == start else None


def expand_blocks(source: Source, stream: Stream, memory: int) -> Iterator[bytes]:
    """Yield each block's content; one like the block before is not expanded again. Raises `lzma.LZMAError`."""
    before, content = Block(b"", 0, 0), b""
    for place, unpadded, uncompressed in stream.blocks:
        block = Block(source.read_at(place, _padded(unpadded), "an xz block"), unpadded, uncompressed)
        if block != before:
            # As a separate stream: the library then holds it against its checksum, and against what the index says.
            alone = b"".join(write_stream([block], stream.flags))
            expander = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory)
            before, content = block, expander.decompress(alone, uncompressed + 1)
            if not expander.eof or len(content) != uncompressed:
                raise lzma.LZMAError(f"the block at byte {place} is not of the size that the index says")
        yield content


def _padded(size: int) -> int:
    return size + -size % 4


def _index_size(footer: bytes) -> int:
    return (int.from_bytes(footer[4:8], "little") + 1) * 4


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _integer(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a place, and the place behind it; one that is cut short ends with the data."""
    value, position = 0, 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << 7 * position
        at, position = at + 1, position + 1
        if byte < 0x80:
            break
    return value, at
