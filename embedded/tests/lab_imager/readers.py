"""Reads what the imager wrote, independently of the program: zstd frames, cpio archives, PE sections, size classes."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
EMPTY_FRAME = bytes.fromhex("28b52ffd240001000099e9d851")
"""A zstd frame of nothing, with its checksum."""


def size_class(size: int) -> str:
    """Returns the class in which the records name a size."""
    for limit, name in ((0, "0"), (4096, "<=4K"), (MIB, "<=1M"), (16 * MIB, "<=16M"), (64 * MIB, "<=64M")):
        if size <= limit:
            return name
    return "<=256M" if size <= 256 * MIB else ">256M"


@dataclass(frozen=True)
class Frame:
    """One zstd frame as its header tells (RFC 8878), and where it lies."""

    offset: int
    size: int
    checksum: bool
    fcs_bytes: int
    single_segment: bool


@dataclass(frozen=True)
class Entry:
    """One entry of a newc cpio archive."""

    name: str
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    ino: int
    data: bytes


def zstd_frames(data: bytes) -> list[Frame]:
    """Walks the frames of a file that is nothing but zstd frames."""
    frames: list[Frame] = []
    offset = 0
    while offset < len(data):
        assert data[offset : offset + 4] == b"\x28\xb5\x2f\xfd", f"no zstd frame at {offset}"
        descriptor = data[offset + 4]
        single_segment, checksum = bool(descriptor & 0x20), bool(descriptor & 0x04)
        fcs_bytes = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
        dictionary = (0, 1, 2, 4)[descriptor & 3]
        position = offset + 5 + (not single_segment) + dictionary + fcs_bytes
        last = False
        while not last:
            header = int.from_bytes(data[position : position + 3], "little")
            last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
            position += 3 + (1 if kind == 1 else size)
        position += 4 * checksum
        frames.append(Frame(offset, position - offset, checksum, fcs_bytes, single_segment))
        offset = position
    return frames


def unzstd(data: bytes) -> bytes:
    """Decompresses zstd frames."""
    return subprocess.run(["zstd", "-dcq"], input=data, check=True, capture_output=True).stdout


def cpio_entries(data: bytes) -> tuple[list[Entry], int]:
    """Returns the entries of a newc archive and how many zero bytes follow its end."""
    entries: list[Entry] = []
    offset = 0
    while True:
        assert data[offset : offset + 6] == b"070701", f"no cpio header at {offset}"
        fields = [int(data[offset + 6 + 8 * index : offset + 14 + 8 * index], 16) for index in range(13)]
        ino, mode, uid, gid, nlink, mtime, size, _, _, _, _, name_size, _ = fields
        start = offset + 110
        name = data[start : start + name_size - 1].decode()
        body = start + name_size + -(start + name_size) % 4
        offset = body + size + -(body + size) % 4
        if name == "TRAILER!!!":
            rest = data[offset:]
            assert not rest.strip(b"\0")
            return entries, len(rest)
        entries.append(Entry(name, mode, uid, gid, nlink, mtime, ino, data[body : body + size]))


def appended(initramfs: Path) -> dict[str, bytes]:
    """Returns the entries of an initramfs's second frame by name, in their order."""
    data = initramfs.read_bytes()
    entries, _ = cpio_entries(unzstd(data[zstd_frames(data)[1].offset :]))
    return {entry.name: entry.data for entry in entries}


@dataclass(frozen=True)
class PeFile:
    """A PE file's machine, build time and sections; a section's data is cut to its virtual size."""

    machine: int
    timestamp: int
    sections: list[tuple[str, bytes]]


def read_pe(path: Path) -> PeFile:
    """Reads the headers of a PE file."""
    data = path.read_bytes()
    assert data[:2] == b"MZ"
    (offset,) = struct.unpack_from("<I", data, 0x3C)
    assert data[offset : offset + 4] == b"PE\0\0"
    machine, count, timestamp, _, _, optional_size, _ = struct.unpack_from("<HHIIIHH", data, offset + 4)
    table = offset + 24 + optional_size
    sections: list[tuple[str, bytes]] = []
    for index in range(count):
        name, virtual_size, _, raw_size, start = struct.unpack_from("<8sIIII", data, table + 40 * index)
        sections.append((name.rstrip(b"\0").decode(), data[start : start + min(virtual_size, raw_size)]))
    return PeFile(machine, timestamp, sections)
