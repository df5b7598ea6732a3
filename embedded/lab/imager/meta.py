"""Values for the META partition: their kernel argument form and their on-disk form (Talos ADV)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTITION_SIZE = 1 << 20
BLOCK_SIZE = 256 * 1024
_MAGIC_START, _MAGIC_END = 0x5A4B3C2D, 0xA5B4C3D2
_COMPRESS_ABOVE = 256


@dataclass(frozen=True)
class MetaValue:
    """One key (0 to 255) and its text."""

    key: int
    value: str


class MetaContents(list[MetaValue]):
    """A profile's META values in their order."""

    def encode(self, *, compress: bool) -> str:
        """Returns `0xa=text;0xb=text` in base64, gzipped first when long and the Talos version can read that."""
        raw = ";".join(f"{item.key:#x}={item.value}" for item in self).encode()
        if compress and len(raw) > _COMPRESS_ABOVE:
            raw = gzip.compress(raw, 9, mtime=0)
        return base64.b64encode(raw).decode()


def partition_image(values: Sequence[MetaValue]) -> bytes:
    """Returns the bytes of a META partition that holds the values."""
    block = bytearray(BLOCK_SIZE)
    struct.pack_into(">I", block, 0, _MAGIC_START)
    struct.pack_into(">I", block, BLOCK_SIZE - 4, _MAGIC_END)
    offset = 4
    for key, value in {item.key: item.value.encode() for item in values}.items():
        struct.pack_into(">II", block, offset, key, len(value))
        block[offset + 8 : offset + 8 + len(value)] = value
        offset += 8 + len(value)
    block[BLOCK_SIZE - 36 : BLOCK_SIZE - 4] = hashlib.sha256(block).digest()
    return bytes(block) * 2 + bytes(PARTITION_SIZE - 2 * BLOCK_SIZE)
