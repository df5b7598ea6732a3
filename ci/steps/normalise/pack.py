"""Disk images packed: fast on zeros, and the same bytes on any number of cores."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import zstandard

from ci.inspect import xz
from ci.inspect.limits import MIB
from ci.inspect.source import BytesSource, Source, is_zeros, open_file
from ci.steps.normalise.files import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Bytes of the image that are packed by themselves. Four times the dictionary of xz's preset 0: cutting costs little.
BLOCK = 1 * MIB
XZ_PRESET = 0
#: A block that zstd's level 1 leaves larger than this, of one, is stored: xz, at a twentieth of the speed, would too.
_PACKABLE = 0.97
ZSTD_LEVEL = 3
GZIP_LEVEL = 6
#: Name of the one file in a tar, as Google Cloud asks for it.
TAR_MEMBER = "disk.raw"

#: More threads would mostly hold more memory.
_MOST_THREADS = 8

T = TypeVar("T")


class Packing(StrEnum):
    """How a file is packed, named as its name's ending."""

    XZ = "xz"
    ZSTD = "zst"
    GZIP = "gz"
    TAR = "tar.gz"


def pack(path: Path, out: Path, packing: Packing, epoch: int = 0) -> None:
    """Write the file packed, each MiB of it by itself: xz blocks of preset 0 with CRC32, or zstd frames of level 3.

    An image is zeros, and what is packed already: neither is given to xz. Each zstd frame has its size and a checksum
    (RFC 8878: frames that follow one another are one content). A gzip file is one member, as any program writes it: its
    blocks of deflate know nothing of one another. A tar has the file alone, as `disk.raw`, with the time `epoch`.
    """
    threads = threads_to_use()
    with open_file(path) as source, written(out) as file:
        match packing:
            case Packing.XZ:
                file.writelines(xz.write_stream(_blocks(source, threads, _xz_block)))
            case Packing.ZSTD:
                file.writelines(_blocks(source, threads, _zstd_frame) if source.size else [_zstd_frame(b"")])
            case Packing.GZIP:
                file.writelines(_gzip(source, threads))
            case Packing.TAR:
                file.writelines(_gzip(_Joined("tar", google_tar(source, epoch)), threads))


def threads_to_use() -> int:
    """Return how many threads a packer runs."""
    return min(_cores(), _MOST_THREADS)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _gzip(source: Source, threads: int) -> Iterator[bytes]:
    """Yield one gzip member (RFC 1952) without name and time, its blocks ending on bytes."""
    yield b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
    yield from _blocks(source, threads, _deflated)
    checksum = 0
    for chunk in source.chunks():
        checksum = zlib.crc32(chunk, checksum)
    yield zlib.compressobj(wbits=-15).flush() + checksum.to_bytes(4, "little")
    yield (source.size & 0xFFFFFFFF).to_bytes(4, "little")


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def google_tar(source: Source, epoch: int) -> list[Source]:
    """Return the parts of a tar, in GNU's format, with a file in it (`tar --format=gnu --owner=0 --group=0`)."""
    info = tarfile.TarInfo(TAR_MEMBER)
    info.size, info.mtime, info.mode = source.size, epoch, 0o644
    size = tarfile.BLOCKSIZE + source.size
    whole = -(-(size + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    return [BytesSource("header", info.tobuf(tarfile.GNU_FORMAT)), source, BytesSource("end", bytes(whole - size))]


class _Joined(Source):
    """Sources one after the other."""

    def __init__(self, name: str, parts: list[Source]) -> None:
        self._parts = parts
        super().__init__(name, sum(part.size for part in parts))

    def _pread(self, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        for part in self._parts:
            if offset < part.size and length:
                piece = part.read_up_to(offset, length)
                pieces.append(piece)
                offset, length = offset + len(piece), length - len(piece)
            offset -= part.size
        return b"".join(pieces)


def _zstd_frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(data)


def _xz_block(data: bytes) -> xz.Block:
    if len(zstandard.ZstdCompressor(level=1).compress(data)) > _PACKABLE * len(data):
        return xz.store_block(data)
    return xz.pack_block(data, XZ_PRESET)


def _blocks(source: Source, threads: int, make: Callable[[bytes], T]) -> Iterator[T]:
    """Yield the image's blocks in order, packed ahead in threads; blocks of zeros are packed once."""
    packed_zeros: dict[int, Future[T]] = {}
    ahead: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for offset in range(0, source.size, BLOCK):
            size = min(BLOCK, source.size - offset)
            data = source.read_at(offset, size, "content")
            if is_zeros(data):
                if size not in packed_zeros:
                    packed_zeros[size] = pool.submit(make, data)
                ahead.append(packed_zeros[size])
            else:
                ahead.append(pool.submit(make, data))
            if len(ahead) > threads + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
