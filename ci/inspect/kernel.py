"""Linux kernels as Talos ships them: an arm64 `Image` (plain, gzip or EFI zboot) and an x86 `bzImage`.

Layouts: the kernel's Documentation/arch/arm64/booting.rst and arch/x86/boot.rst, and the zboot header of its
drivers/firmware/efi/libstub.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.inspect.compression import Compression, Frame, compression_of, expand
from ci.inspect.errors import CorruptFileError
from ci.inspect.models import KernelFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.inspect.context import Context
    from ci.inspect.source import Source

#: The kernel's own banner (`init/version.c`); the format string of the same words has no digit there.
_BANNER = re.compile(rb"Linux version (\d[\x21-\x7e]{0,127}) \(")
_BANNER_LENGTH = 160


def is_arm64_image(head: bytes) -> bool:
    """Return whether the first 64 bytes are those of an arm64 `Image`."""
    return head[56:60] == b"ARMd"


def is_zboot(head: bytes) -> bool:
    """Return whether the first bytes are those of a self-expanding EFI image of a kernel."""
    return head[:2] == b"MZ" and head[4:8] == b"zimg"


def is_bzimage(head: bytes) -> bool:
    """Return whether the first 1 KiB is that of an x86 `bzImage`."""
    return head[0x202:0x206] == b"HdrS"


def inspect_kernel(source: Source, machine: str | None, context: Context) -> KernelFacts:
    """Return what a kernel image is; `machine` is what its PE header says, `None` without one."""
    head = source.read_up_to(0, 1024)
    if is_bzimage(head):
        return KernelFacts(
            format="x86-bzimage", machine=machine or "amd64", efi=machine is not None, version=_bzimage(source, head)
        )
    if is_zboot(head):
        version = find_version(_zboot(source, head, context))
        return KernelFacts(format="arm64-zboot", machine=machine or "arm64", efi=machine is not None, version=version)
    version = find_version(source.chunks())
    return KernelFacts(format="arm64-image", machine=machine or "arm64", efi=machine is not None, version=version)


def inspect_packed_kernel(source: Source, kind: Compression, context: Context) -> KernelFacts:
    """Return what a compressed arm64 `Image` is; firmware can't start it as it is."""
    version = find_version(expand(source, kind, context))
    return KernelFacts(format="arm64-image-gzip", machine="arm64", efi=False, version=version)


def find_version(chunks: Iterable[bytes]) -> str | None:
    """Return the release in a kernel's banner."""
    tail = b""
    for chunk in chunks:
        data = tail + chunk
        if found := _BANNER.search(data):
            return found[1].decode("ascii")
        tail = data[-_BANNER_LENGTH:]
    return None


def _bzimage(source: Source, head: bytes) -> str | None:
    pointer = int.from_bytes(head[0x20E:0x210], "little")
    if pointer == 0:
        return None
    text = source.read_at(0x200 + pointer, min(128, max(0, source.size - 0x200 - pointer)), "the kernel's version")
    return text.split(b"\0")[0].split(b" ")[0].decode("ascii", "replace") or None


def _zboot(source: Source, head: bytes, context: Context) -> Iterator[bytes]:
    offset = int.from_bytes(head[8:12], "little")
    size = int.from_bytes(head[12:16], "little")
    payload = source.window(source.name, offset, size)
    kind = compression_of(payload.read_up_to(0, 8))
    if kind is None:
        raise CorruptFileError(source.name, f"byte {offset}", "the zboot payload is neither gzip, zstd nor xz")
    # Only the first frame: behind it stands the expanded size.
    return Frame(payload, 0, kind, context).chunks()
