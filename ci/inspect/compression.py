"""Compressed streams, recognised by their first bytes and expanded in bounded steps."""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import zstandard

from ci.inspect import xz, zstd
from ci.inspect.errors import CorruptFileError
from ci.inspect.limits import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context
    from ci.inspect.source import Source

Compression = Literal["zstd", "xz", "gzip"]

_MAGIC: dict[bytes, Compression] = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"\x1f\x8b\x08": "gzip",
}

#: lz4's frames, and those of the kernel's own kind: no Talos packs with it, and no reader here expands it.
LZ4_MAGICS = (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")

#: A frame this short is looked for again behind itself.
_SHORT = 256

#: What a library raises for bytes that are not its format's.
_ERRORS = (zstandard.ZstdError, lzma.LZMAError, zlib.error)


def compression_of(head: bytes) -> Compression | None:
    """Return the compression whose magic number the bytes begin with."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


@dataclass
class Frame:
    """One compressed stream inside a source: read `chunks()` to the end, then `end` is the offset behind it."""

    source: Source
    offset: int
    kind: Compression
    context: Context
    end: int = -1
    expanded: int = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the expanded bytes; raises where the stream is corrupt or cut short, checksums included."""
        steps = {"zstd": self._zstd, "xz": self._xz, "gzip": self._gzip}[self.kind]()
        place = self._place()
        try:
            for chunk in steps:
                if chunk:
                    self.expanded += len(chunk)
                    self.context.count_expanded(self.source.name, len(chunk))
                    yield chunk
        except _ERRORS as error:
            raise CorruptFileError(self.source.name, place, str(error)) from error
        except MemoryError as error:
            raise CorruptFileError(self.source.name, place, "asks for more memory than there is") from error

    def _place(self) -> str:
        return f"{self.kind} frame at byte {self.offset}"

    def _zstd(self) -> Iterator[bytes]:
        expander = zstandard.ZstdDecompressor(max_window_size=self.context.limits.window).decompressobj()
        # Without its blocks' borders, a few bytes of input could be gigabytes of output in one piece.
        for start, end in zstd.steps(self.source, self.offset, CHUNK):
            yield expander.decompress(self.source.read_at(start, end - start, "zstd blocks"))
            self.end = end
        if not expander.eof:
            raise self.source.cut_short(self._place())

    def _xz(self) -> Iterator[bytes]:
        if stream := xz.read_stream(self.source, self.offset):
            for content in xz.expand_blocks(self.source, stream, 2 * self.context.limits.window):
                yield from (content[at : at + CHUNK] for at in range(0, len(content), CHUNK))
            self.end = self.source.size
            return
        expander = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=2 * self.context.limits.window)
        position = self.offset
        for data in self.source.chunks(self.offset):
            position += len(data)
            yield expander.decompress(data, CHUNK)
            while not expander.eof and not expander.needs_input:
                yield expander.decompress(b"", CHUNK)
            if expander.eof:
                self.end = position - len(expander.unused_data)
                return
        raise self.source.cut_short(self._place())

    def _gzip(self) -> Iterator[bytes]:
        expander = zlib.decompressobj(wbits=31)
        position = self.offset
        for data in self.source.chunks(self.offset):
            position += len(data)
            yield expander.decompress(data, CHUNK)
            while not expander.eof and expander.unconsumed_tail:
                yield expander.decompress(expander.unconsumed_tail, CHUNK)
            if expander.eof:
                self.end = position - len(expander.unused_data)
                return
        raise self.source.cut_short(self._place())


def expand(source: Source, kind: Compression, context: Context) -> Iterator[bytes]:
    """Yield a whole file's expanded bytes: as the tools do, streams that follow one another are one content."""
    offset = 0
    while offset < source.size:
        head = source.read_up_to(offset, 8)
        if compression_of(head) != kind:
            if not any(head):  # xz and gzip files may be padded with zeros.
                return
            raise CorruptFileError(source.name, f"byte {offset}", f"no {kind} frame where one should follow")
        frame = Frame(source, offset, kind, context)
        content: list[bytes] = []
        for chunk in frame.chunks():
            yield chunk
            if frame.expanded <= CHUNK:
                content.append(chunk)
        packed = source.read_up_to(offset, min(frame.end - offset, _SHORT))
        offset = frame.end
        if len(packed) == frame.end - frame.offset and frame.expanded <= CHUNK:
            # A packed disk image is mostly holes: the same frame again and again.
            while source.read_up_to(offset, len(packed)) == packed:
                for chunk in content:
                    context.count_expanded(source.name, len(chunk))
                    yield chunk
                offset += len(packed)


def expand_block(kind: str, data: bytes, most: int) -> bytes:
    """Return a small block expanded, at most `most` bytes; what would be longer is cut or refused by the library."""
    if kind == "gzip":
        return zlib.decompressobj().decompress(data, most + 1)
    if kind == "xz":
        return lzma.LZMADecompressor(memlimit=2 * most + 16 * CHUNK).decompress(data, most + 1)
    parameters = zstandard.get_frame_parameters(data)
    # The library allocates what the frame claims, before it looks at anything else.
    if most < parameters.content_size < min(zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
        raise zstandard.ZstdError(f"a block that claims {parameters.content_size} bytes (limit {most})")
    return zstandard.ZstdDecompressor(max_window_size=max(16 * CHUNK, most)).decompress(data, max_output_size=most + 1)


BLOCK_ERRORS = (*_ERRORS, MemoryError)
