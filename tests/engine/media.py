"""Disk images, installer archives and signed EFI files taken apart, for the tests of what was built."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import zstandard

from ci.inspect.context import Context
from ci.inspect.disk import read_partitions
from ci.inspect.iso import inspect_iso
from ci.inspect.partitions import read_fat
from ci.inspect.pe import read_pe
from ci.inspect.source import BytesSource, open_file

if TYPE_CHECKING:
    from pathlib import Path

_ZEROS = bytes(1 << 20)


@dataclass(frozen=True)
class Disk:
    """A disk image: the names of its partitions, the first bytes of each, and the EFI system partition's files."""

    starts: dict[str, bytes]
    esp: dict[str, bytes]


def read_disk(packed: Path, scratch: Path) -> Disk:
    """Read a `.raw.zst` disk image without writing what is empty."""
    raw = scratch / "disk.raw"
    with packed.open("rb") as file, raw.open("wb") as out:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while data := reader.read(len(_ZEROS)):
            if data == _ZEROS:
                out.seek(len(data), os.SEEK_CUR)
            else:
                out.write(data)
        out.truncate(out.tell())
    with open_file(raw, packed.name) as source:
        partitions = read_partitions(source, Context())
        (esp,) = (partition for partition in partitions if partition.type == "esp")
        _, files = read_fat(source.window("ESP", esp.offset, esp.size), Context())
        starts = {partition.name: source.read_up_to(partition.offset, 16) for partition in partitions}
        return Disk(starts, {path: b"".join(window.chunks()) for path, window in files})


def installer_files(archive: Path) -> dict[str, tuple[bytes, int]]:
    """Return what lies in an installer image by path, with its mode; later layers count."""
    found: dict[str, tuple[bytes, int]] = {}
    with tarfile.open(archive) as image:
        for member in image:
            if not member.name.endswith(".tar.gz"):
                continue
            blob = image.extractfile(member)
            assert blob is not None
            with tarfile.open(fileobj=io.BytesIO(blob.read())) as layer:
                for entry in layer:
                    content = layer.extractfile(entry) if entry.isfile() else None
                    if content is not None:
                        found[entry.name] = (content.read(), entry.mode)
    return found


def iso_files(image: Path) -> dict[str, bytes]:
    """Return the files of an ISO image by path."""
    with open_file(image, image.name) as source:
        _, files = inspect_iso(source, Context())
        return {path: b"".join(window.chunks()) for path, window in files}


def sections(program: bytes) -> list[tuple[str, bytes]]:
    """Return the sections of an EFI program, in its order."""
    read = read_pe(BytesSource("program", program), Context())
    return [(name, b"".join(window.chunks())) for name, window, _ in read.sections]
