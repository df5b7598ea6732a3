"""Disk images before Talos v1.13: a loop device, its partitions' nodes below /dev, and mounts.

The kernel adds a partition's node to the machine's own /dev; in a container it is there only if someone makes it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import random
import struct
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ImagerError, os_error_text
from .filesystems import copy_into_vfat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .report import Progress

_CONTROL = Path("/dev/loop-control")
_ATTEMPTS = 10
# linux/loop.h, linux/blkpg.h, linux/fs.h
_LOOP_SET_FD, _LOOP_CLR_FD, _LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82
_BLKPG, _ADD_PARTITION, _DELETE_PARTITION = 0x1269, 1, 2
_PARTITION = struct.Struct("=qqi64s64s4x")


@dataclass(frozen=True)
class LoopDevice:
    """A file as a block device."""

    path: Path

    def node(self, number: int) -> Path:
        """Returns where a partition's node is looked for; partitions count from 1."""
        return self.path.with_name(f"{self.path.name}p{number}")

    def tell_kernel(self, partitions: Sequence[tuple[int, int]]) -> None:
        """Has the kernel know these partitions and no others, each by start and size in bytes."""
        with self.path.open("r+b", buffering=0) as device:
            for known in Path("/sys/block", self.path.name).glob(f"{self.path.name}p*"):
                _blkpg(device.fileno(), _DELETE_PARTITION, int(known.name.rpartition("p")[2]), 0, 0)
            for number, (start, size) in enumerate(partitions, 1):
                _blkpg(device.fileno(), _ADD_PARTITION, number, start, size)


def _blkpg(device: int, operation: int, number: int, start: int, size: int) -> None:
    partition = ctypes.create_string_buffer(_PARTITION.pack(start, size, number, b"", b""), _PARTITION.size)
    argument = struct.pack("iiiP", operation, 0, _PARTITION.size, ctypes.addressof(partition))
    fcntl.ioctl(device, _BLKPG, argument)


@contextmanager
def attached(image: Path, progress: Progress) -> Generator[LoopDevice]:
    """Attaches a file to a free loop device, and detaches it in the end.

    Raises ImagerError `failed to attach loopback device: …`.
    """
    progress("attaching loopback device")
    try:
        device = _attach(image, progress)
    except ImagerError as error:
        raise ImagerError(f"failed to attach loopback device: {error}") from None
    progress(f"attached loopback device: {device.path}")
    try:
        yield device
    finally:
        progress(f"detaching loopback device {device.path}")
        with device.path.open("r+b", buffering=0) as opened:
            fcntl.ioctl(opened, _LOOP_CLR_FD)


def _attach(image: Path, progress: Progress) -> LoopDevice:
    for attempt in range(_ATTEMPTS):
        with _open(_CONTROL) as control:
            path = Path(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")
        with _open(path) as device, image.open("r+b", buffering=0) as file:
            try:
                fcntl.ioctl(device, _LOOP_SET_FD, file.fileno())
            except OSError as error:
                if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:
                    raise ImagerError(os.strerror(error.errno or 0).lower()) from None
            else:
                return LoopDevice(path)
        seconds = max(random.expovariate(1), 2.0)
        progress(f"retrying after {seconds} seconds")
        time.sleep(seconds)
    raise AssertionError


def _open(path: Path) -> FileIO:
    try:
        return FileIO(path, "r+")
    except OSError as error:
        raise ImagerError(f"could not open {path}: {os_error_text('open', path, error)}") from None


def zero(node: Path) -> None:
    """Writes zeros to the beginning of a partition.

    Raises ImagerError `open /dev/loop0p2: no such file or directory`.
    """
    write(node, bytes(1 << 20))


def write(node: Path, content: bytes) -> None:
    """Writes to the beginning of a partition."""
    try:
        with node.open("r+b", buffering=0) as device:
            device.write(content)
    except OSError as error:
        raise ImagerError(os_error_text("open", node, error)) from None


@contextmanager
def mounted(node: Path, kind: str, place: Path) -> Generator[None]:
    """Mounts a partition at a place; where the kernel knows no FAT, what is put there goes in with mtools.

    Raises ImagerError `error mounting partitions: …`.
    """
    place.mkdir(parents=True, exist_ok=True)
    knows = _mount(str(node), place, kind)
    if not knows:
        _mount("tmpfs", place, "tmpfs")
    try:
        yield
        if not knows:
            for item in sorted(place.iterdir()):
                copy_into_vfat(node, [item])
    finally:
        _libc().umount2(os.fsencode(place), 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, place: Path, kind: str) -> bool:
    """Returns whether the kernel knows the file system."""
    if not _libc().mount(source.encode(), os.fsencode(place), kind.encode(), 0, None):
        return True
    code = ctypes.get_errno()
    if code == errno.ENODEV and kind == "vfat":
        return False
    raise ImagerError(f"error mounting partitions: {source} as {kind}: {os.strerror(code).lower()}")
