"""The initramfs: what the imager puts around the base gets fixed times, the base itself stays byte for byte.

    initramfs = [newc archive with CPU microcode] base [zstd frame with a newc archive of the extensions]

The imager makes both archives by `cpio --reproducible -R +0:+0`: order, owners, inode and device numbers are settled;
times are the build's, and a directory's link count is the file system's (ext4 counts what is below it, btrfs says 1).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import zstandard

from ci.inspect import zstd
from ci.inspect.compression import Frame, compression_of
from ci.inspect.context import Context
from ci.inspect.cpio import HEADER, MAGICS, TRAILER, field_place, parse_header, plain_archive, read_members
from ci.inspect.limits import CHUNK
from ci.inspect.source import ByteStream, Source, open_file
from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ci.inspect.cpio import Fields

#: Level 7 with the window of the imager's 18, 8 MiB, since firmware repeats itself at a distance. Nearly all of what is
#: packed are squashfs images, compressed already, over which higher levels go at length: 61 MB of the lab's take 0.7 s
#: (level 12 1.6 s, for the same size); 93 MB of AMD's firmware become 23.5 MB (12 with its own window: 25.4).
_PARAMETERS: Final = zstandard.ZstdCompressionParameters(compression_level=7, window_log=23, write_checksum=True)


@dataclass(frozen=True)
class Stretch:
    """A zstd frame, or a bare archive, with the zero bytes behind it."""

    is_frame: bool
    offset: int
    end: int

    def chunks(self, source: Source) -> Iterator[bytes]:
        """Yield its bytes, as they are in the file."""
        return source.window(source.name, self.offset, self.end - self.offset).chunks()

    def archive(self, source: Source) -> ByteStream:
        """Return the bytes of its archives, expanded."""
        if not self.is_frame:
            return ByteStream(f"{source.name}: archive at byte {self.offset}", self.chunks(source))
        frame = Frame(source, self.offset, "zstd", Context())
        return ByteStream(f"{source.name}: in the zstd frame at byte {self.offset}", frame.chunks())


def normalise_initramfs(path: Path, out: Path, epoch: int) -> None:
    """Write the initramfs with all times of the appended (and prepended) archive set to `epoch`.

    An initramfs to which nothing was appended is copied; the last of several frames is the appended one.
    """
    with open_file(path) as source:
        stretches = read_stretches(source)
        first, last = _all_but_the_last_frame(stretches)
        with written(out) as file:
            for number, stretch in enumerate(stretches):
                if first <= number <= last:
                    file.writelines(stretch.chunks(source))
                    continue
                changed = restamped(stretch.archive(source), epoch)
                file.writelines(compressed(changed) if stretch.is_frame else changed)


def read_stretches(source: Source) -> list[Stretch]:
    """Return the frames and bare archives that an initramfs is made of, in order; an empty file has none."""
    stretches: list[Stretch] = []
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
        stretches.append(Stretch(head[:6] not in MAGICS, offset, end))
        offset = end
    if not stretches:
        raise NormaliseError(source.name, "an empty file is no initramfs")
    return stretches


def _archive_end(source: Source, offset: int) -> int:
    stream = plain_archive(source, offset, source.name)
    for _ in read_members(stream, Context(), one_archive=True):
        pass
    return offset + stream.offset


def _all_but_the_last_frame(stretches: list[Stretch]) -> tuple[int, int]:
    frames = [number for number, stretch in enumerate(stretches) if stretch.is_frame]
    if len(frames) < 2:
        return 0, len(stretches) - 1
    return frames[0], frames[-1] - 1


def compressed(content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the frame of an archive."""
    # In one thread; the frame does not say its content's size, as `zstd` does not of what it reads from a pipe.
    compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS).compressobj()
    yield from map(compressor.compress, content)
    yield compressor.flush()


def restamped(stream: ByteStream, epoch: int) -> Iterator[bytes]:
    """Yield archives anew, all else but times and directories' link counts as it is."""
    while True:
        zeros = stream.skip_zeros()
        yield from (bytes(min(CHUNK, zeros - at)) for at in range(0, zeros, CHUNK))
        if stream.peek() is None:
            return
        place = f"cpio entry at byte {stream.offset}"
        header = stream.read_exactly(HEADER, "a cpio header")
        fields = parse_header(header, stream.name, place)
        name = stream.read_exactly(fields.padded_name, "a cpio name")
        # `cpio` leaves the trailer's time zero.
        is_trailer = name[: fields.name_size].rstrip(b"\0") == TRAILER.encode()
        yield restamped_header(header, fields, 0 if is_trailer else epoch) + name
        yield from stream.pieces(fields.padded_size, "a cpio entry's content")


def restamped_header(header: bytes, fields: Fields, time: int, **others: int) -> bytes:
    """Return a member's header with a time, a directory's link count, and other fields set."""
    links = {"links": 2} if stat.S_ISDIR(fields.mode) else {}
    changed = bytearray(header)
    for name, value in {"mtime": time, **links, **others}.items():
        changed[field_place(name)] = b"%08X" % value
    return bytes(changed)
