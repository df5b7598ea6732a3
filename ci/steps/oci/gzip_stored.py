"""gzip that packs nothing: every tool reads it, and its bytes depend on no version of a packer.

What is in these layers is packed already. Formats: RFC 1952 (gzip), RFC 1951, section 3.2.4 (stored blocks).
"""

from __future__ import annotations

import hashlib
import io
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

#: Magic number, deflate, no flags, no time, no extra flags, unknown system.
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_MOST: Final = 0xFFFF


class StoredGzip(io.RawIOBase):
    """A file that is written as a gzip stream of stored blocks; `close` ends the stream, not the file below."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._waiting = bytearray()
        self._sum = zlib.crc32(b"")
        self._size = 0
        #: Of what was written, not of the stream.
        self.content = hashlib.sha256()
        file.write(_HEADER)

    def writable(self) -> bool:
        """Say yes: the `io` protocol."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._size

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Take content."""
        self._sum = zlib.crc32(data, self._sum)
        self._size += len(data)
        self.content.update(data)
        self._waiting += data
        # One block stays back: only at the end is it known that it is the last.
        while len(self._waiting) > _MOST:
            self._block(bytes(self._waiting[:_MOST]), last=False)
            del self._waiting[:_MOST]
        return len(data)

    def close(self) -> None:
        """Write the last block, checksum and size."""
        if not self.closed:
            self._block(bytes(self._waiting), last=True)
            self._file.write(self._sum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))
        super().close()

    def _block(self, data: bytes, *, last: bool) -> None:
        size = len(data)
        self._file.write(bytes([last]) + size.to_bytes(2, "little") + (size ^ _MOST).to_bytes(2, "little") + data)
