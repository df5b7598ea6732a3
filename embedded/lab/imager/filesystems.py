"""File systems in files, filled from folders without mounting anything: FAT for UEFI, XFS for GRUB's boot partition."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ImagerError
from .report import Progress, human_size
from .tools import run, source_date_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable

EFI_LABEL = "EFI"
# The settings of mkfs.xfs by the oldest kernel that has to read the result.
_XFS_SETTINGS = Path("/usr/share/xfsprogs/mkfs")
# What of Debian's library directories holds libfaketime; mkfs.xfs of trixie takes its times from nowhere else.
_FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"


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


def make_vfat(path: Path, sector: int = 512) -> None:
    """Makes a FAT32 file system that is the same every time."""
    sectors = [] if sector == 512 else ["-S", str(sector)]
    run(["mkfs.vfat", "-F", "32", "-n", EFI_LABEL, "--invariant", *sectors, path])


def copy_into_vfat(image: Path, sources: Iterable[Path]) -> None:
    """Copies files and folders with their times to the top of a FAT file system."""
    run(["mcopy", "-s", "-p", "-Q", "-m", "-i", image, *sources, "::"])


def make_xfs(path: Path, label: str, guid: str, folder: Path | None, kernel: str, sector: int = 512) -> None:
    """Makes an XFS file system with what a folder holds, if any, readable by a kernel (`6.12`) and all newer ones.

    Its times are those of SOURCE_DATE_EPOCH where that is set.
    """
    with tempfile.NamedTemporaryFile("w", prefix="protofile") as prototype:
        filled = ["-p", prototype.name] if folder else []
        prototype.write(xfs_prototype(folder) if folder else "")
        prototype.flush()
        command = ["mkfs.xfs", "-n", "ftype=1", "-c", f"options={_xfs_settings(kernel)}", "-f", "-L", label]
        command += [*([] if sector == 512 else ["-s", f"size={sector}"])]
        command += [*filled, "-m", f"uuid={guid.lower()}", str(path)]
        epoch = source_date_epoch()
        if epoch is not None:
            # Inodes also get random numbers, which the same library makes the same.
            fixed = [f"LD_PRELOAD={_FAKETIME}", f"FAKETIME={epoch}", "FAKETIME_FMT=%s", "FAKERANDOM_SEED=0x1"]
            command = ["env", *fixed, *command]
        run(command)


def _xfs_settings(kernel: str) -> Path:
    """Returns the settings file of a kernel, or of the newest older one that there is."""

    def version(path: Path) -> tuple[int, ...]:
        return tuple(int(part) for part in path.stem.removeprefix("lts_").split("."))

    wanted = version(Path(f"lts_{kernel}.conf"))
    fitting = [path for path in _XFS_SETTINGS.glob("lts_*.conf") if version(path) <= wanted]
    if not fitting:
        raise ImagerError(f"mkfs.xfs has no settings for kernel {kernel} or older in {_XFS_SETTINGS}")
    return max(fitting, key=version)


def xfs_prototype(folder: Path) -> str:
    """Returns a folder as a prototype file of mkfs.xfs: files before folders, all owned by root."""
    return "\n".join(["/", "0 0", _mode(folder), *_prototype_lines(folder, 1), "$", ""])


def _prototype_lines(folder: Path, depth: int) -> list[str]:
    indent, lines = " " * depth, list[str]()
    items = sorted(folder.iterdir())
    lines += [f"{indent}{item.name} {_mode(item)} {item}" for item in items if not item.is_dir()]
    for item in items:
        if item.is_dir():
            lines += [f"{indent}{item.name} {_mode(item)}", *_prototype_lines(item, depth + 1), f"{indent}$"]
    return lines


def _mode(path: Path) -> str:
    mode = path.stat().st_mode
    kind = "d" if stat.S_ISDIR(mode) else "-"
    return f"{kind}--{mode & 0o777:03o} 0 0"


def write_sparse(source: Path, target: Path, offset: int) -> None:
    """Copies what a sparse file holds to an offset of another one, holes left as holes."""
    with source.open("rb") as read, target.open("r+b") as write:
        end = os.fstat(read.fileno()).st_size
        position = 0
        while position < end:
            try:
                start = os.lseek(read.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            write.seek(offset + start)
            while start < position:
                chunk = os.pread(read.fileno(), min(position - start, 4 << 20), start)
                write.write(chunk)
                start += len(chunk)
