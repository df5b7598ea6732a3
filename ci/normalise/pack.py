"""Disk images packed: fast on holes, and the same bytes on any number of cores."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from ci.inspect import xz
from ci.inspect.limits import MIB
from ci.inspect.source import Source, is_zeros, open_file
from ci.normalise.files import written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes of the image in one xz block: four times the dictionary of preset 0, so cutting costs next to nothing.
XZ_BLOCK = 1 * MIB
XZ_PRESET = 0
#: A block that zstd's level 1 leaves larger than this, of one, is stored: xz, at a twentieth of the speed, would too.
_PACKABLE = 0.97
ZSTD_LEVEL = 3

#: More threads would mostly hold more memory.
_MOST_THREADS = 8


class Packing(StrEnum):
    """How a file is packed, named as its name's ending."""

    XZ = "xz"
    ZSTD = "zst"


def pack(path: Path, out: Path, packing: Packing) -> None:
    """Write the file packed: xz preset 0 with CRC32 in blocks of 1 MiB, or one zstd frame of level 3 with checksum.

    An image is holes, and what is packed already: neither is given to xz.
    """
    threads = min(_cores(), _MOST_THREADS)
    with open_file(path) as source, written(out) as file:
        (_pack_xz if packing is Packing.XZ else _pack_zstd)(source, file, threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _pack_zstd(source: Source, file: BinaryIO, threads: int) -> None:
    # The library cuts its threads' jobs by the level alone. Without threads (0) it would not cut, and give other bytes.
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True, threads=threads)
    packing = compressor.compressobj(size=source.size)
    file.writelines(map(packing.compress, source.chunks()))
    file.write(packing.flush())


def _pack_xz(source: Source, file: BinaryIO, threads: int) -> None:
    file.writelines(xz.write_stream(_blocks(source, threads)))


def _packed(data: bytes) -> xz.Block:
    if len(zstandard.ZstdCompressor(level=1).compress(data)) > _PACKABLE * len(data):
        return xz.store_block(data)
    return xz.pack_block(data, XZ_PRESET)


def _blocks(source: Source, threads: int) -> Iterator[xz.Block]:
    """Yield the image's blocks in order, packed ahead in threads; blocks of zeros are packed once."""
    packed_zeros: dict[int, Future[xz.Block]] = {}
    ahead: deque[Future[xz.Block]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for offset in range(0, source.size, XZ_BLOCK):
            size = min(XZ_BLOCK, source.size - offset)
            data = source.read_at(offset, size, "content")
            if is_zeros(data):
                if size not in packed_zeros:
                    packed_zeros[size] = pool.submit(xz.pack_block, data, XZ_PRESET)
                ahead.append(packed_zeros[size])
            else:
                ahead.append(pool.submit(_packed, data))
            if len(ahead) > threads + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
