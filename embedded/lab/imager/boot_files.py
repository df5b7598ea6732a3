"""What UEFI media hold: boot loader, UKI, loader settings; and the FAT file systems for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import ImagerError
from .report import Progress, human_size
from .tools import run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EFI_LABEL = "EFI"
# Where UEFI looks on removable media; the ISO spells its folder in capitals, the disk does not.
BOOT_FILES = {"arm64": "BOOTAA64", "amd64": "BOOTX64"}
LOADER_CONF = "# what systemd-boot is to do\n\ntimeout 10\n\nsecure-boot-enroll off\n"


def create_raw(path: Path, size: int, progress: Progress) -> None:
    """Makes an empty sparse file of a size in bytes.

    Raises ImagerError when it cannot.
    """
    progress(f"creating raw disk of size {human_size(size)}")
    try:
        with path.open("wb") as file:
            file.truncate(size)
    except OSError as error:
        raise ImagerError(f"failed to create raw disk: {error.strerror}") from None


def make_vfat(path: Path) -> None:
    """Makes a FAT32 file system that is the same every time."""
    run(["mkfs.vfat", "-F", "32", "-n", EFI_LABEL, "--invariant", path])


def copy_into_vfat(image: Path, sources: Iterable[Path]) -> None:
    """Copies files and folders with their times to the top of a FAT file system."""
    run(["mcopy", "-s", "-p", "-Q", "-m", "-i", image, *sources, "::"])
