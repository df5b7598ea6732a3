"""Formats that qemu-img writes, with what it leaves to chance taken out.

A qcow2 has neither times nor ids in it; with one request at a time its clusters always come in the same order. The last
sector of a VHD has a time and an id. Fields: Microsoft's "Virtual Hard Disk Image Format Specification" 1.0.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ci.inspect.limits import CHUNK, MIB
from ci.inspect.source import is_zeros, open_file
from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from collections.abc import Callable

_FOOTER: Final = 512
#: Seconds from 1970 to 2000, where the times of VHDs begin.
_VHD_EPOCH: Final = 946_684_800
_TIME, _CHECKSUM, _ID = 24, 64, 68


def write_qcow2(source: Path, out: Path, *, compressed: bool) -> None:
    """Write a disk as a qcow2 image; with `compressed`, its clusters are (zlib, which every reader knows)."""
    _convert(source, out, "qcow2", "compat=1.1", *(["-c"] if compressed else []))


def write_vhd(source: Path, out: Path, epoch: int) -> None:
    """Write a disk as a VHD of a fixed size, which is the disk's own to the byte; Azure takes whole MiB only."""
    if source.stat().st_size % MIB:
        raise NormaliseError(str(source), f"a disk of {source.stat().st_size} bytes: a VHD for Azure has whole MiB")
    _convert(source, out, "vpc", "subformat=fixed,force_size", finish=lambda part: _normalise(source, part, epoch))


def _convert(
    source: Path, out: Path, form: str, options: str, *more: str, finish: Callable[[Path], None] | None = None
) -> None:
    # One request at a time (-m 1): what is written does not depend on which ends first.
    command = ["qemu-img", "convert", "-m", "1", "-f", "raw", "-O", form, "-o", options, *more, str(source)]
    with written(out) as file, tempfile.TemporaryDirectory(dir=out.parent) as folder:
        part = Path(folder) / "disk"
        done = subprocess.run([*command, str(part)], capture_output=True, text=True, check=False)  # noqa: S603 (a fixed program)
        if done.returncode != 0:
            raise NormaliseError(str(source), f"qemu-img: {done.stderr.strip()}")
        if finish:
            finish(part)
        part.replace(file.name)


def _normalise(source: Path, vhd: Path, epoch: int) -> None:
    """Set time and id in a VHD's footer: the build's, and one that follows from what is on the disk."""
    with vhd.open("r+b") as file:
        file.seek(-_FOOTER, 2)
        footer = bytearray(file.read(_FOOTER))
        struct.pack_into(">I", footer, _TIME, max(0, epoch - _VHD_EPOCH))
        footer[_ID : _ID + 16] = _id_of(source)
        footer[_CHECKSUM : _CHECKSUM + 4] = bytes(4)
        struct.pack_into(">I", footer, _CHECKSUM, ~sum(footer) & 0xFFFFFFFF)
        file.seek(-_FOOTER, 2)
        file.write(footer)


def _id_of(disk: Path) -> bytes:
    """Return a UUID (version 8, of RFC 9562) that follows from a disk's bytes; holes are passed over."""
    digest = hashlib.sha256()
    with open_file(disk) as source:
        digest.update(b"%d" % source.size)
        offset = source.next_data(0) // CHUNK * CHUNK
        while offset < source.size:
            if not is_zeros(data := source.read_up_to(offset, CHUNK)):
                digest.update(b"%d" % offset)
                digest.update(data)
            offset = max(offset + CHUNK, source.next_data(offset + CHUNK) // CHUNK * CHUNK)
    found = bytearray(digest.digest()[:16])
    found[6], found[8] = found[6] & 0x0F | 0x80, found[8] & 0x3F | 0x80
    return bytes(found)
