"""Talos's initramfs: compressed frames of cpio archives that hold squashfs images and `extensions.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.common.filenames import EXTENSIONS_YAML
from ci.inspect.compression import Frame, compression_of
from ci.inspect.content import ContentReader, watched
from ci.inspect.cpio import MAGICS, CpioHeader, plain_archive, read_members
from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.manifest import parse_layers
from ci.inspect.models import Entry, FrameFacts, InitramfsFacts, Inspection, LayerFacts
from ci.inspect.source import ByteStream, Source
from ci.inspect.squashfs import MAGIC as SQUASHFS
from ci.inspect.squashfs import inspect_squashfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context

_IMAGE = ".sqsh"


class _Reader:
    def __init__(self, source: Source, context: Context) -> None:
        self.source = source
        self.context = context
        self.frames: list[FrameFacts] = []
        self.contents: list[Inspection] = []
        self.layers: list[LayerFacts] | None = None

    def read(self) -> None:
        offset = 0
        while True:
            offset = self._skip_padding(offset)
            if offset >= self.source.size:
                break
            if len(self.frames) >= self.context.limits.frames:
                raise LimitExceededError(
                    self.source.name, f"byte {offset}", f"more than {self.context.limits.frames} frames"
                )
            offset = self._frame(offset)
        if not self.frames:
            raise CorruptFileError(self.source.name, "byte 0", "an initramfs without any content")

    def _skip_padding(self, offset: int) -> int:
        stream = ByteStream(self.source.name, self.source.chunks(offset))
        return offset + stream.skip_zeros()

    def _frame(self, offset: int) -> int:
        head = self.source.read_up_to(offset, 8)
        kind = compression_of(head)
        name = self.source.name
        if kind is not None:
            frame = Frame(self.source, offset, kind, self.context)
            stream = ByteStream(f"{name}: in the {kind} frame at byte {offset}", frame.chunks())
            entries = self._entries(stream, one_archive=False)
            stream.drain()
            end, expanded = frame.end, frame.expanded
        elif head[:6] in MAGICS:
            stream = plain_archive(self.source, offset, f"{name}: in the archive at byte {offset}")
            entries = self._entries(stream, one_archive=True)
            end, expanded = offset + stream.offset, stream.offset
        else:
            raise CorruptFileError(name, f"byte {offset}", f"neither a compressed frame nor a cpio archive: {head!r}")
        self.frames.append(
            FrameFacts(
                compression=kind or "none", offset=offset, size=end - offset, expanded=expanded, entries=tuple(entries)
            )
        )
        return end

    def _entries(self, stream: ByteStream, *, one_archive: bool) -> list[Entry]:
        entries: list[Entry] = []
        #: Names of one file: the kernel makes a file of the first, and the content may come with any of them.
        one_file: dict[tuple[int, ...], list[int]] = {}
        for header, content in read_members(stream, self.context, one_archive=one_archive):
            if header.path == ".":
                continue
            if header.one_file is not None:
                one_file.setdefault(header.one_file, []).append(len(entries))
            entries.append(self._entry(header, content))
        for numbers in one_file.values():
            self._join(entries, numbers)
        return entries

    def _join(self, entries: list[Entry], numbers: list[int]) -> None:
        """Give all names of one file the content of the last one that brought any."""
        holder = next((entries[number] for number in reversed(numbers) if entries[number].size), None)
        if holder is None:
            return
        found = holder.model_dump(include={"size", "sha256", "machine", "vermagic"})
        inside = next((node for node in reversed(self.contents) if node.name == holder.path), None)
        for number in numbers:
            if entries[number].path != holder.path:
                entries[number] = entries[number].model_copy(update=found)
                if inside is not None and entries[number].path.endswith(_IMAGE):
                    self.contents.append(inside.model_copy(update={"name": entries[number].path}))

    def _entry(self, header: CpioHeader, content: Iterator[bytes]) -> Entry:
        reader = ContentReader(header.path)
        target = None
        if header.type == "symlink":
            target = self._text(header, content).decode("utf-8", "backslashreplace")
        elif header.type == "file":
            self._file(header, reader, watched(reader, content))
        found = reader.finish() if header.type == "file" else None
        return Entry(
            path=header.path,
            type=header.type,
            mode=header.mode,
            uid=header.uid,
            gid=header.gid,
            mtime=header.mtime,
            size=header.size if header.type == "file" else 0,
            target=target,
            sha256=found.sha256 if found else None,
            machine=found.machine if found else None,
            vermagic=found.vermagic if found else None,
            depends=found.depends if found else None,
        )

    def _file(self, header: CpioHeader, reader: ContentReader, content: Iterator[bytes]) -> None:
        if header.path == EXTENSIONS_YAML:
            # A later archive's file replaces an earlier one's, as in the kernel.
            self.layers = parse_layers(f"{self.source.name}:{EXTENSIONS_YAML}", self._text(header, content))
        elif header.path.endswith(_IMAGE) and not (header.one_file and not header.size):
            self._squashfs(header, reader, content)
        else:
            for _ in content:
                pass

    def _text(self, header: CpioHeader, content: Iterator[bytes]) -> bytes:
        if header.size > self.context.limits.text:
            raise LimitExceededError(self.source.name, header.path, f"a text of {header.size} bytes")
        return b"".join(content)

    def _squashfs(self, header: CpioHeader, reader: ContentReader, content: Iterator[bytes]) -> None:
        name = f"{self.source.name}:{header.path}"
        with self.context.spool(name, content) as image:
            image.is_known(reader.sha256)
            if image.read_up_to(0, 4) != SQUASHFS:
                raise CorruptFileError(name, "byte 0", "no squashfs image")
            facts = inspect_squashfs(image, self.context)
            self.contents.append(Inspection(name=header.path, size=image.size, sha256=image.sha256(), facts=facts))


def inspect_initramfs(source: Source, context: Context) -> tuple[InitramfsFacts, tuple[Inspection, ...]]:
    """Return the frames of an initramfs with their names, its list of extensions, and each squashfs image inside."""
    reader = _Reader(source, context)
    reader.read()
    layers = None if reader.layers is None else tuple(reader.layers)
    return InitramfsFacts(frames=tuple(reader.frames), layers=layers), tuple(reader.contents)
