"""What is noted of a file's content while it passes by: digest, ELF machine, a kernel module's vermagic."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.inspect.compression import BLOCK_ERRORS, compression_of, expand_block
from ci.inspect.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.inspect.source import Source

#: `e_machine` of the ELF header (System V ABI), with the names that Go and container images use.
_ELF_MACHINES = {
    3: "386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    258: "loong64",
}

_VERMAGIC = re.compile(rb"\0vermagic=([\x20-\x7e]{1,256})\0")
_DEPENDS = re.compile(rb"\0depends=([\x21-\x7e]{0,4096})\0")
#: Bytes of the longest of these.
_LONGEST = 4096 + 16
_MODULE = re.compile(r"\.ko(\.(zst|xz|gz))?$")

#: A compressed kernel module larger than this is not expanded; the largest of a real kernel is about 10 MB.
_LARGEST_MODULE = 64 * MIB


def elf_machine(head: bytes) -> str | None:
    """Return the machine of an ELF file from its first 20 bytes, `None` for anything else."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    machine = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _ELF_MACHINES.get(machine, f"{machine:#06x}")


@dataclass(frozen=True)
class Content:
    """Size, digest and what else was noted."""

    size: int
    sha256: str
    head: bytes
    machine: str | None
    vermagic: str | None
    #: Names of the modules that a kernel module needs; `None` where it does not say.
    depends: tuple[str, ...] | None = None


class ContentReader:
    """What is noted of a file's content, which comes chunk by chunk."""

    def __init__(self, path: str) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._tail = b""
        self._vermagic: str | None = None
        self._depends: tuple[str, ...] | None = None
        self._is_module = _MODULE.search(path) is not None
        self._packed: bytearray | None = None

    def update(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._digest.update(chunk)
        if len(self._head) < 64:
            self._head = (self._head + chunk[:64])[:64]
        self._size += len(chunk)
        if self._is_module and (self._vermagic is None or self._depends is None):
            self._look_for_module_info(chunk)

    def _look_for_module_info(self, chunk: bytes) -> None:
        if self._size == len(chunk) and compression_of(self._head):
            self._packed = bytearray()
        if self._packed is not None:
            if len(self._packed) < _LARGEST_MODULE:
                self._packed += chunk
            return
        data = self._tail + chunk
        self._take_module_info(data)
        # A text may lie across the border of two pieces.
        self._tail = data[-_LONGEST:]

    def _take_module_info(self, data: bytes) -> None:
        if self._vermagic is None and (found := _VERMAGIC.search(data)):
            self._vermagic = found[1].decode("ascii")
        if self._depends is None and (found := _DEPENDS.search(data)):
            self._depends = tuple(name for name in found[1].decode("ascii").split(",") if name)

    @property
    def sha256(self) -> str:
        """The digest so far."""
        return self._digest.hexdigest()

    def finish(self) -> Content:
        """Return the findings."""
        machine = elf_machine(self._head)
        if self._packed is not None:
            machine = self._unpack_module() or machine
        return Content(self._size, self.sha256, self._head, machine, self._vermagic, self._depends)

    def _unpack_module(self) -> str | None:
        kind = compression_of(self._head)
        assert kind is not None
        assert self._packed is not None
        try:
            data = expand_module(kind, bytes(self._packed))
        except BLOCK_ERRORS:
            return None  # Not a module then, whatever its name is.
        self._take_module_info(data)
        return elf_machine(data[:64])


def expand_module(kind: str, data: bytes) -> bytes:
    """Return a compressed kernel module expanded."""
    if kind == "gzip":
        return zlib.decompressobj(wbits=31).decompress(data, _LARGEST_MODULE)
    return expand_block(kind, data, _LARGEST_MODULE)


def read_content(path: str, chunks: Iterable[bytes]) -> Content:
    """Read content to its end and return what it was."""
    reader = ContentReader(path)
    for chunk in chunks:
        reader.update(chunk)
    return reader.finish()


def read_source(path: str, source: Source) -> Content:
    """Read all of a source and return what it was; its digest is not to be made again."""
    content = read_content(path, source.chunks())
    source.is_known(content.sha256)
    return content


def watched(reader: ContentReader, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks on, after the reader took them."""
    for chunk in chunks:
        reader.update(chunk)
        yield chunk
