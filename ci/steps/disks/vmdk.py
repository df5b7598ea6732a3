"""Disks as streamOptimized VMDK, as VMware's products import them.

Format: VMware's "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents": a header that says that the
directory is at the end, grains of 64 KiB each compressed behind a marker, a table behind each 512 of them, the
directory, the footer (the header again, with the directory's place) and an end marker. What qemu-img writes under this
name is not taken by vSphere: Talos's imager has VMware's own converter instead since v1.11 (image-factory, issue 232).
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, Final

from ci.inspect.source import is_zeros, open_file
from ci.steps.normalise.files import NormaliseError, written
from ci.steps.normalise.pack import threads_to_use

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci.inspect.source import Source

SECTOR: Final = 512
GRAIN: Final = 64 << 10
_GRAIN_SECTORS: Final = GRAIN // SECTOR
#: Grains whose places are in one table.
_PER_TABLE: Final = 512
_TABLE_SECTORS: Final = _PER_TABLE * 4 // SECTOR
#: Sectors before the first grain: the header, and the descriptor behind it.
_OVERHEAD: Final = 128
_DESCRIPTOR: Final = 20
#: Newlines are as written, grains are compressed, markers are there.
_FLAGS: Final = 0x30001
_AT_END: Final = 0xFFFF_FFFF_FFFF_FFFF
_HEADER: Final = struct.Struct("<4sIIQQQQIQQQB4sH433x")
_MARKER: Final = struct.Struct("<QII496x")
_END, _TABLE, _DIRECTORY, _FOOTER = range(4)
#: zlib's own default, which VMware's tools take too.
_LEVEL: Final = 6
_HEADS, _SECTORS = 255, 63


def write_vmdk(source: Path, out: Path) -> None:
    """Write a raw disk image as a VMDK; its content id follows from what is on the disk."""
    with open_file(source) as disk, written(out) as file:
        if disk.size % SECTOR or not disk.size:
            raise NormaliseError(disk.name, f"a disk of {disk.size} bytes: a VMDK has whole sectors of {SECTOR}")
        file.write(bytes(_OVERHEAD * SECTOR))
        tables, content = _write_grains(disk, file)
        directory = _write_directory(file, tables)
        file.write(_MARKER.pack(1, 0, _FOOTER) + _header(disk.size, directory) + _MARKER.pack(0, 0, _END))
        file.seek(0)
        file.write(_header(disk.size, _AT_END) + _descriptor(disk.size, content).ljust(_DESCRIPTOR * SECTOR, b"\0"))


def _write_grains(disk: Source, file: BinaryIO) -> tuple[list[int], int]:
    """Write the grains that are not empty and their tables; return the tables' sectors, and a checksum."""
    grains = -(-disk.size // GRAIN)
    tables = [0] * -(-grains // _PER_TABLE)
    places: dict[int, int] = {}
    current, content = 0, 0

    def end_table() -> None:
        if places:
            file.write(_MARKER.pack(_TABLE_SECTORS, 0, _TABLE))
            tables[current] = _here(file)
            file.write(struct.pack(f"<{_PER_TABLE}I", *(places.get(number, 0) for number in range(_PER_TABLE))))
            places.clear()

    for number, packed in _packed(disk):
        table, index = divmod(number, _PER_TABLE)
        if table != current:
            end_table()
            current = table
        places[index] = _here(file)
        grain = struct.pack("<QI", number * _GRAIN_SECTORS, len(packed)) + packed
        content = zlib.crc32(grain, content)
        file.write(grain + bytes(-len(grain) % SECTOR))
    end_table()
    return tables, content


def _packed(disk: Source) -> Iterator[tuple[int, bytes]]:
    """Yield the grains that are not empty, compressed ahead in threads, with their numbers."""
    threads = threads_to_use()
    ahead: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for number, data in _grains(disk):
            ahead.append((number, pool.submit(zlib.compress, data, _LEVEL)))
            if len(ahead) > 8 * threads:
                first, packed = ahead.popleft()
                yield first, packed.result()
        while ahead:
            first, packed = ahead.popleft()
            yield first, packed.result()


def _grains(disk: Source) -> Iterator[tuple[int, bytes]]:
    offset = disk.next_data(0) // GRAIN * GRAIN
    while offset < disk.size:
        data = disk.read_up_to(offset, GRAIN)
        if not is_zeros(data):
            # The last one may be shorter on the disk; in the file it is whole.
            yield offset // GRAIN, data.ljust(GRAIN, b"\0")
        offset = max(offset + GRAIN, disk.next_data(offset + GRAIN) // GRAIN * GRAIN)


def _write_directory(file: BinaryIO, tables: list[int]) -> int:
    """Write the directory and return its sector."""
    data = struct.pack(f"<{len(tables)}I", *tables)
    file.write(_MARKER.pack(-(-len(data) // SECTOR), 0, _DIRECTORY))
    here = _here(file)
    file.write(data + bytes(-len(data) % SECTOR))
    return here


def _here(file: BinaryIO) -> int:
    sector, rest = divmod(file.tell(), SECTOR)
    assert rest == 0
    return sector


def _header(size: int, directory: int) -> bytes:
    sectors = size // SECTOR
    places = (1, _DESCRIPTOR, _PER_TABLE, 0, directory, _OVERHEAD)
    return _HEADER.pack(b"KDMV", 3, _FLAGS, sectors, _GRAIN_SECTORS, *places, 0, b"\n \r\n", 1)


def _descriptor(size: int, content: int) -> bytes:
    # The two highest ids have a meaning: no parent, and not known.
    content = min(content, 0xFFFF_FFFD)
    return "\n".join(
        (
            "# Disk DescriptorFile",
            "version=1",
            f"CID={content:08x}",
            "parentCID=ffffffff",
            'createType="streamOptimized"',
            "",
            "# Extent description",
            f'RW {size // SECTOR} SPARSE "disk.vmdk"',
            "",
            "# The Disk Data Base",
            "#DDB",
            "",
            'ddb.adapterType = "lsilogic"',
            f'ddb.geometry.cylinders = "{min(65535, size // SECTOR // (_HEADS * _SECTORS))}"',
            f'ddb.geometry.heads = "{_HEADS}"',
            f'ddb.geometry.sectors = "{_SECTORS}"',
            'ddb.virtualHWVersion = "15"',
            "",
        )
    ).encode("ascii")
