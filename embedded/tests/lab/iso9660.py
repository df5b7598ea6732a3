"""ISO images with a few small files, for machines that read a configuration from one (ECMA-119, without extensions)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 2048
_PRIMARY, _TERMINATOR, _LITTLE, _BIG, _ROOT, _DATA = range(16, 22)


def iso9660(label: str, files: Mapping[str, bytes]) -> bytes:
    """Make an image with files in its root folder; Linux shows `CONFIG.YAML` as `config.yaml`."""
    sectors: list[bytes] = []
    records = [_record(b"\0", _ROOT, SECTOR, folder=True), _record(b"\1", _ROOT, SECTOR, folder=True)]
    for name, content in sorted(files.items()):
        records.append(_record(f"{name};1".encode(), _DATA + len(sectors), len(content)))
        sectors += [_padded(content[at : at + SECTOR]) for at in range(0, len(content), SECTOR)]
    paths = [bytes([1, 0]) + struct.pack(order + "IH", _ROOT, 1) + b"\0\0" for order in "<>"]
    primary = b"".join(
        [
            *(b"\x01CD001\x01\0", b" " * 32, label.encode().ljust(32), bytes(8)),
            *(_both(_DATA + len(sectors), "I"), bytes(32), _both(1, "H"), _both(1, "H"), _both(SECTOR, "H")),
            *(_both(len(paths[0]), "I"), struct.pack("<II", _LITTLE, 0), struct.pack(">II", _BIG, 0)),
            *(_record(b"\0", _ROOT, SECTOR, folder=True), b" " * (128 * 4 + 37 * 3)),
            (b"0" * 16 + b"\0") * 4 + b"\x01\0",
        ]
    )
    head = [primary, b"\xffCD001\x01", *paths, b"".join(records)]
    return bytes(16 * SECTOR) + b"".join([*map(_padded, head), *sectors])


def _padded(content: bytes) -> bytes:
    assert len(content) <= SECTOR
    return content.ljust(SECTOR, b"\0")


def _both(value: int, kind: str) -> bytes:
    return struct.pack("<" + kind, value) + struct.pack(">" + kind, value)


def _record(name: bytes, sector: int, size: int, *, folder: bool = False) -> bytes:
    date = bytes([100, 1, 1, 0, 0, 0, 0])
    flags = bytes([2 if folder else 0, 0, 0])
    rest = b"".join([b"\0", _both(sector, "I"), _both(size, "I"), date, flags, _both(1, "H"), bytes([len(name)]), name])
    rest += b"\0" * (len(name) % 2 == 0)
    return bytes([len(rest) + 1]) + rest
