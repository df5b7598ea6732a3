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
from ci.inspect.cpio import MAGICS, read_members
from ci.inspect.errors import CorruptFileError, LimitExceededError
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

_HEADER = 110
_MODE, _LINKS, _MTIME, _SIZE, _NAME_SIZE = 1, 4, 5, 6, 11


@dataclass(frozen=True)
class _Part:
    """A zstd frame, or a bare archive, with the zero bytes behind it."""

    is_frame: bool
    offset: int
    end: int


def normalise_initramfs(path: Path, out: Path, epoch: int, base: Path | None = None) -> None:
    """Write the initramfs with all times of the appended (and prepended) archive set to `epoch`.

    An initramfs to which nothing was appended is copied. Without `base` the last of several frames is taken for the
    appended one; with it, the initramfs has to hold that file whole, and what stands around it is rewritten.
    """
    with open_file(path) as source:
        parts = _parts(source)
        first, last = _base(source, parts, base) if base else _all_but_the_last_frame(parts)
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
    stream = ByteStream(source.name, source.chunks(offset))
    for _ in read_members(stream, Context(), one_archive=True):
        pass
    return offset + stream.offset


def _all_but_the_last_frame(parts: list[_Part]) -> tuple[int, int]:
    frames = [number for number, part in enumerate(parts) if part.is_frame]
    if len(frames) < 2:
        return 0, len(parts) - 1
    return frames[0], frames[-1] - 1


def _base(source: Source, parts: list[_Part], path: Path) -> tuple[int, int]:
    """Return the numbers of the first and last part that are the base's."""
    with open_file(path) as base:
        count = len(_parts(base))
        # A base may begin with an archive of its own, so the file's start is looked at first.
        starts = [0] if parts[0].is_frame else [0, 1]
        first = next((start for start in starts if _holds(source, parts[start : start + 1], base)), None)
    if first is None:
        raise NormaliseError(source.name, f"does not hold the base {path}: was it made from another one?")
    last = first + count - 1
    if (following := len(parts) - 1 - last) > 1:
        raise NormaliseError(
            source.name,
            f"{following} frames follow the base {path}, the imager appends one: "
            "extensions were packed into an initramfs that had some",
        )
    return first, last


def _holds(source: Source, at: list[_Part], base: Source) -> bool:
    if not at or at[0].offset + base.size > source.size:
        return False
    window = source.window(source.name, at[0].offset, base.size)
    return all(ours == theirs for ours, theirs in zip(window.chunks(), base.chunks(), strict=True))


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
        header = bytearray(stream.read_exactly(_HEADER, "a cpio header"))
        if bytes(header[:6]) not in MAGICS:
            raise CorruptFileError(stream.name, place, f"no newc header but {bytes(header[:6])!r}")
        try:
            mode, size, name_size = (int(_field(header, field), 16) for field in (_MODE, _SIZE, _NAME_SIZE))
        except ValueError as error:
            raise CorruptFileError(stream.name, place, "a header field is no hexadecimal number") from error
        if name_size > Context().limits.path:
            raise LimitExceededError(stream.name, place, f"a name of {name_size} bytes")
        name = stream.read_exactly(name_size + -(_HEADER + name_size) % 4, "a cpio name")
        # `cpio` leaves the trailer's time zero.
        _set(header, _MTIME, 0 if name.rstrip(b"\0") == b"TRAILER!!!" else epoch)
        if stat.S_ISDIR(mode):
            _set(header, _LINKS, 2)
        yield bytes(header) + name
        yield from stream.pieces(size + -size % 4, "a cpio entry's content")


def _field(header: bytearray, field: int) -> bytes:
    return bytes(header[6 + 8 * field : 14 + 8 * field])


def _set(header: bytearray, field: int, value: int) -> None:
    header[6 + 8 * field : 14 + 8 * field] = b"%08X" % value
