"""Assets that were built: copies to break, and their parts to break them with."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
import zstandard

from ci.common.filenames import REPORT
from ci.inspect.compression import Frame, compression_of
from ci.inspect.context import Context
from ci.inspect.cpio import read_members
from ci.inspect.source import BytesSource, ByteStream
from ci.inspect.squashfs import Squashfs
from ci.plan.expectation import expectation
from ci.plan.model import Plan
from ci.report.seal import seal
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ci.plan.expectation import Expectation

#: Files below this size are copied; larger ones are linked, and replaced whole.
_SMALL = 1 << 20


def _copy(source: str, target: str) -> None:
    if Path(source).stat().st_size < _SMALL:
        shutil.copyfile(source, target)
    else:
        os.link(source, target)


@dataclass(frozen=True)
class Built:
    """The folder of a build's assets."""

    root: Path

    @property
    def plan(self) -> Plan:
        return Plan.model_validate(json.loads((self.root / REPORT).read_text())["plan"])

    def expectation(self, outputs: Collection[str] | None = None) -> Expectation:
        return expectation(self._plan(outputs))

    def _plan(self, outputs: Collection[str] | None) -> Plan:
        plan = self.plan
        kept = tuple(output for output in plan.outputs if outputs is None or output.name in outputs)
        return plan.model_copy(update={"outputs": kept})

    def copy(self, root: Path, outputs: Collection[str] | None = None) -> Built:
        """Copy the assets, or some outputs of them."""
        shutil.copytree(self.root, root, copy_function=_copy)
        kept = {output.path for output in self._plan(outputs).outputs}
        for output in self.plan.outputs:
            if output.path not in kept:
                (root / output.path).unlink()
        return Built(root)

    def replace(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Change a file; what it is linked to stays as it is."""
        before = (self.root / path).read_bytes()
        after = change(before)
        assert after != before
        (self.root / path).unlink()
        (self.root / path).write_bytes(after)

    def seal(self, outputs: Collection[str] | None = None) -> None:
        """Write checksums and report anew, as a build that was wrong would have."""
        plan = self._plan(outputs)
        seal(self.root, expectation(plan), plan)


@dataclass
class Initramfs:
    """An initramfs taken apart: its first frames as they are, the names of the last one, and `extensions.yaml`."""

    base: list[bytes]
    files: list[File]
    layers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @classmethod
    def parse(cls, data: bytes) -> Initramfs:
        *base, last = _frames(data)
        files = files_of(last)
        text = next(file.data for file in files if file.path == "extensions.yaml")
        return cls(base, files, yaml.safe_load(text)["layers"])

    def write(self) -> bytes:
        self["extensions.yaml"] = samples.layers_yaml(self.layers)
        return b"".join(self.base) + samples.zstd(samples.cpio(self.files))

    def image(self, extension: str) -> str:
        return next(layer["image"] for layer in self.layers if layer["metadata"]["name"] == extension)

    def __getitem__(self, path: str) -> bytes:
        return next(file.data for file in self.files if file.path == path)

    def __setitem__(self, path: str, data: bytes) -> None:
        next(file for file in self.files if file.path == path).data = data

    def change(self, extension: str, change: Callable[[list[File]], list[File]]) -> None:
        """Pack an extension's image anew, with other files."""
        image = self.image(extension)
        self[image] = samples.squashfs(change(unpacked(self[image])), block_size=1 << 17)


def _frames(data: bytes) -> list[bytes]:
    source, found, offset = BytesSource("initramfs", data), list[bytes](), 0
    while offset < len(data):
        kind = compression_of(data[offset : offset + 8])
        assert kind, "the first frame is plain: not an arm64 initramfs"
        frame = Frame(source, offset, kind, Context())
        for _ in frame.chunks():
            pass
        found.append(data[offset : frame.end])
        offset = frame.end
    return found


def expanded_frames(data: bytes) -> list[bytes]:
    """Return what the frames of an initramfs expand to: by the library's own call, not by the readers' steps."""
    return [zstandard.ZstdDecompressor().decompressobj().decompress(frame) for frame in _frames(data)]


def files_of(frame: bytes) -> list[File]:
    """Return the names of a compressed frame, in order."""
    kind = compression_of(frame[:8])
    assert kind
    stream = ByteStream("frame", Frame(BytesSource("frame", frame), 0, kind, Context()).chunks())
    files: list[File] = []
    for header, content in read_members(stream, Context(), one_archive=False):
        data = b"".join(content)
        if header.path == ".":
            continue
        slash = "/" if header.type == "directory" else ""
        target = data.decode() if header.type == "symlink" else None
        files.append(File(header.path + slash, b"" if target is not None else data, header.mode, target))
    return files


def unpacked(image: bytes) -> list[File]:
    """Return the files and links of a squashfs image."""
    read = Squashfs(BytesSource("image", image), Context())
    return [
        File(path, b"".join(read.chunks(path, inode)) if inode.type == "file" else b"", inode.mode, inode.target)
        for path, inode in read.walk()
        if inode.type != "directory"
    ]
