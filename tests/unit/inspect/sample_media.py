"""Small ISOs, FAT file systems and disks, written byte by byte."""

from __future__ import annotations

import io
import struct
import uuid
import zlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import pycdlib

if TYPE_CHECKING:
    from tests.unit.inspect.samples import File


def iso(files: list[File], made: int = 1700000000) -> bytes:
    with mock.patch("time.time", return_value=float(made)):
        return _iso(files)


def _iso(files: list[File]) -> bytes:
    image: Any = pycdlib.PyCdlib()
    image.new(interchange_level=3, rock_ridge="1.09", vol_ident="TALOS_V1_13_6")
    names: dict[str, str] = {"": ""}
    count = 0
    for file in files:
        parts = file.path.split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            if path in names:
                continue
            count += 1
            parent = names["/".join(parts[: end - 1])]
            if end < len(parts):
                names[path] = f"{parent}/D{count}"
                image.add_directory(names[path], rr_name=parts[end - 1])
            else:
                name = f"{parent}/F{count}.;1"
                image.add_fp(io.BytesIO(file.data), len(file.data), name, rr_name=parts[end - 1])
    out = io.BytesIO()
    image.write_fp(out)
    image.close()
    return out.getvalue()


def fat(files: list[File], bits: int = 16, clusters: int | None = None) -> bytes:  # noqa: C901 (one format, one function)
    """A FAT file system with long names; one sector a cluster."""
    count = clusters or {12: 2048, 16: 8192, 32: 66000}[bits]
    entry_bytes = {12: 1.5, 16: 2, 32: 4}[bits]
    table_sectors = -(-int((count + 2) * entry_bytes) // 512)
    reserved = 32 if bits == 32 else 1
    root_entries = 0 if bits == 32 else 512
    data_start = reserved + table_sectors + root_entries * 32 // 512
    total = data_start + count
    disk = bytearray(total * 512)
    table = [0] * (count + 2)
    end = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}[bits]
    table[0], table[1] = end, end
    free = 2

    def allocate(data: bytes, at_least: int = 0) -> int:
        nonlocal free
        need = max(-(-len(data) // 512), at_least)
        if need == 0:
            return 0
        first = free
        for at in range(need):
            table[first + at] = first + at + 1 if at + 1 < need else end
        free += need
        start = (data_start + first - 2) * 512
        disk[start : start + len(data)] = data
        return first

    def records(name: str, short: bytes, attributes: int, cluster: int, size: int) -> bytes:
        encoded = (name + "\0").encode("utf-16-le")
        encoded += b"\xff" * (-len(encoded) % 26)
        checksum = 0
        for byte in short:
            checksum = ((checksum & 1) << 7 | checksum >> 1) + byte & 0xFF
        pieces = [encoded[at : at + 26] for at in range(0, len(encoded), 26)]
        out = b""
        for number in range(len(pieces), 0, -1):
            piece = pieces[number - 1]
            order = number | (0x40 if number == len(pieces) else 0)
            out += bytes([order]) + piece[:10] + bytes([0x0F, 0, checksum]) + piece[10:22] + b"\0\0" + piece[22:26]
        high, low = cluster >> 16, cluster & 0xFFFF
        return out + short + bytes([attributes]) + bytes(8) + struct.pack("<HIHI", high, 0, low, size)

    def folder(prefix: str) -> bytes:
        names = sorted({f.path[len(prefix) :].split("/")[0] for f in files if f.path.startswith(prefix)})
        out = b""
        for number, name in enumerate(names):
            short = f"F{number}".ljust(11).encode()
            file = next((f for f in files if f.path == prefix + name), None)
            if file is not None:
                out += records(name, short, 0x20, allocate(file.data), len(file.data))
            else:
                dots = b".".ljust(11) + b"\x10" + bytes(20) + b"..".ljust(11) + b"\x10" + bytes(20)
                out += records(name, short, 0x10, allocate(dots + folder(f"{prefix}{name}/")), 0)
        return out

    root = folder("")
    boot = bytearray(512)
    small_total = total if total < 65536 and bits != 32 else 0
    boot[11:36] = struct.pack(
        "<HBHBHHBHHHII", 512, 1, reserved, 1, root_entries, small_total, 0xF8,
        0 if bits == 32 else table_sectors, 32, 64, 0, 0 if small_total else total,
    )  # fmt: skip
    if bits == 32:
        boot[36:52] = struct.pack("<IHHIHH", table_sectors, 0, 0, allocate(root, 1), 1, 6)
        boot[0x52:0x5A] = b"FAT32   "
    else:
        start = (reserved + table_sectors) * 512
        disk[start : start + len(root)] = root
        boot[0x36:0x3E] = f"FAT{bits}".ljust(8).encode()
    boot[510:512] = b"\x55\xaa"
    disk[:512] = boot
    if bits == 12:
        packed = bytearray(table_sectors * 512)
        for number, value in enumerate(table):
            at = number + number // 2
            pair = int.from_bytes(packed[at : at + 2], "little")
            pair |= value << 4 if number & 1 else value
            packed[at : at + 2] = pair.to_bytes(2, "little")
    else:
        packed = b"".join(value.to_bytes(bits // 8, "little") for value in table)
    disk[reserved * 512 : reserved * 512 + len(packed)] = packed
    return bytes(disk)


def gpt(partitions: list[tuple[str, str, bytes]]) -> bytes:
    """A disk with a GUID partition table; each partition is (type GUID, name, content)."""
    start = gpt_start([(kind, name, len(content)) for kind, name, content in partitions])
    body = b"".join(content + bytes(-len(content) % 512) for _, _, content in partitions)
    return start + body + bytes(34 * 512)


def gpt_start(partitions: list[tuple[str, str, int]]) -> bytes:
    """The first MiB of such a disk; each partition is (type GUID, name, size). They follow it one after the other."""
    first = 2048
    table = b""
    for kind, name, size in partitions:
        sectors = -(-size // 512)
        entry = uuid.UUID(kind).bytes_le + uuid.UUID(int=len(table) + 1).bytes_le
        entry += struct.pack("<QQQ", first, first + sectors - 1, 0) + name.encode("utf-16-le").ljust(72, b"\0")
        table += entry
        first += sectors
    table = table.ljust(128 * 128, b"\0")
    last = first + 33
    fields = struct.pack("<QQQQ16sQIII", 1, last, 2048, first - 1, bytes(16), 2, 128, 128, zlib.crc32(table))
    header = b"EFI PART" + struct.pack("<IIII", 0x10000, 92, 0, 0) + fields
    header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    start = bytes(510) + b"\x55\xaa" + header.ljust(512, b"\0") + table
    return start.ljust(2048 * 512, b"\0")


ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS = "21686148-6449-6e6f-744e-656564454649"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
