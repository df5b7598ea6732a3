"""The initramfs: what the imager puts around the base gets fixed times, the base itself stays byte for byte.

    initramfs = [newc archive with CPU microcode] base [zstd frame with a newc archive of the extensions]

The imager makes both archives by `cpio --reproducible -R +0:+0`: order, owners, inode and device numbers are settled;
times are the build's, and a directory's link count is the file system's (ext4 counts what is below it, btrfs says 1).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from ci.inspect import zstd
from ci.inspect.compression import Frame, compression_of
from ci.inspect.context import Context
from ci.inspect.cpio import HEADER, MAGICS, TRAILER, field_place, parse_header, plain_archive, read_members
from ci.inspect.limits import CHUNK
from ci.inspect.source import ByteStream, Source, open_file
from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Below the imager's 18, which takes thirty times as long and saves 1.3 per cent of an initramfs with Tailscale (7.3 s
#: against 0.25 s for 30 MB, 34.1 against 34.6 MB in all): nearly all of it is squashfs images, compressed already. From
#: 13 on zstd searches at length, for 0.3 per cent.
LEVEL = 12


@dataclass(frozen=True)
class _Part:
    """A zstd frame, or a bare archive, with the zero bytes behind it."""

    is_frame: bool
    offset: int
    end: int


def normalise_initramfs(path: Path, out: Path, epoch: int) -> None:
    """Write the initramfs with all times of the appended (and prepended) archive set to `epoch`.

    An initramfs to which nothing was appended is copied; the last of several frames is the appended one.
    """
    with open_file(path) as source:
        parts = _parts(source)
        first, last = _all_but_the_last_frame(parts)
        with written(out) as file:
            for number, part in enumerate(parts):
                if first <= number <= last:
                    file.writelines(_chunks(source, part))
                elif part.is_frame:
                    _rewrite_frame(source, part, epoch, file)
                else:
                    stream = ByteStream(f"{source.name}: archive at byte {part.offset}", _chunks(source, part))
                    file.writelines(_restamped(stream, epoch))


def _parts(source: Source) -> list[_Part]:
    parts: list[_Part] = []
    offset = 0
    while offset < source.size:
        head = source.read_up_to(offset, 8)
        kind = compression_of(head)
        if kind == "zstd":
            end = zstd.frame_end(source, offset)
        elif head[:6] in MAGICS:
            end = _archive_end(source, offset)
        else:
            found = f"{kind} data" if kind else f"neither a zstd frame nor a cpio archive but {head!r}"
            raise NormaliseError(
                source.name, f"at byte {offset} is {found}: only an initramfs in zstd frames can be normalised"
            )
        stream = ByteStream(source.name, source.chunks(end))
        end += stream.skip_zeros()
        parts.append(_Part(head[:6] not in MAGICS, offset, end))
        offset = end
    if not parts:
        raise NormaliseError(source.name, "an empty file is no initramfs")
    return parts


def _archive_end(source: Source, offset: int) -> int:
    stream = plain_archive(source, offset, source.name)
    for _ in read_members(stream, Context(), one_archive=True):
        pass
    return offset + stream.offset


def _all_but_the_last_frame(parts: list[_Part]) -> tuple[int, int]:
    frames = [number for number, part in enumerate(parts) if part.is_frame]
    if len(frames) < 2:
        return 0, len(parts) - 1
    return frames[0], frames[-1] - 1


def _chunks(source: Source, part: _Part) -> Iterator[bytes]:
    return source.window(source.name, part.offset, part.end - part.offset).chunks()


def _rewrite_frame(source: Source, part: _Part, epoch: int, file: BinaryIO) -> None:
    frame = Frame(source, part.offset, "zstd", Context())
    stream = ByteStream(f"{source.name}: in the zstd frame at byte {part.offset}", frame.chunks())
    # In one thread; the frame does not say its content's size, as `zstd` does not of what it reads from a pipe.
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    file.writelines(map(compressor.compress, _restamped(stream, epoch)))
    file.write(compressor.flush())


def _restamped(stream: ByteStream, epoch: int) -> Iterator[bytes]:
    """Yield archives anew, all else but times and directories' link counts as it is."""
    while True:
        zeros = stream.skip_zeros()
        yield from (bytes(min(CHUNK, zeros - at)) for at in range(0, zeros, CHUNK))
        if stream.peek() is None:
            return
        place = f"cpio entry at byte {stream.offset}"
        header = bytearray(stream.read_exactly(HEADER, "a cpio header"))
        fields = parse_header(bytes(header), stream.name, place)
        name = stream.read_exactly(fields.padded_name, "a cpio name")
        # `cpio` leaves the trailer's time zero.
        is_trailer = name[: fields.name_size].rstrip(b"\0") == TRAILER.encode()
        header[field_place("mtime")] = b"%08X" % (0 if is_trailer else epoch)
        if stat.S_ISDIR(fields.mode):
            header[field_place("links")] = b"%08X" % 2
        yield bytes(header) + name
        yield from stream.pieces(fields.padded_size, "a cpio entry's content")
