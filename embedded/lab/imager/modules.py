"""The extension `modules.dep`: the kernel modules' dependency files, made anew over base system and extensions."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import ImagerError, require
from .extensions import Extension, Metadata
from .tools import run

if TYPE_CHECKING:
    from .report import Progress

DEPMOD_CONFIG = "/etc/modules.d/10-extra-modules.conf"
ROOTFS = "rootfs.sqsh"
_CPIO_HEADER = 110
_XZ_MAGIC, _ZSTD_MAGIC = b"\xfd7zX", b"\x28\xb5\x2f\xfd"
FileOperation = Callable[[Path], None]


def dependency_extension(
    module_folders: list[Path], initramfs: Path, scratch: Path, modules_path: str, progress: Progress
) -> Extension:
    """Runs depmod over the base initramfs's modules and those of the extensions.

    `module_folders` are the extensions' `usr/lib/modules`; the result lies below `scratch`.
    Raises ImagerError when an extension has no modules for the base's kernel.
    """
    progress("preparing to run depmod to generate kernel modules dependency tree")
    with tempfile.TemporaryDirectory(prefix="ext-modules") as temporary:
        squashfs = Path(temporary, ROOTFS)
        _extract_rootfs(initramfs, squashfs)
        base = Path(temporary, "modules")
        run(["unsquashfs", "-no-xattrs", "-d", base, "-f", "-n", squashfs, modules_path])
        all_modules = base / modules_path
        kernels = sorted(all_modules.iterdir()) if all_modules.is_dir() else []
        if len(kernels) != 1 or not kernels[0].is_dir():
            raise ImagerError(f"invalid kernel modules path: {all_modules}")
        release = kernels[0].name
        for folder in module_folders:
            try:
                copy_tree(folder / release, kernels[0])
            except ImagerError as error:
                raise ImagerError(f"copying kernel modules from {folder} failed: {error}") from None
        progress("running depmod to generate kernel modules dependency tree")
        root = str(all_modules).removesuffix("/lib/modules")
        run(["depmod", "--all", "--basedir", root, "--config", DEPMOD_CONFIG, release])
        staging = scratch / "modules.dep"
        target = staging / modules_path / release
        target.mkdir(parents=True)
        for file in sorted(kernels[0].glob("modules.*")):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
                (target / file.name).chmod(file.stat().st_mode & 0o777)
    metadata = Metadata(
        name="modules.dep",
        version=release,
        author="Talos Machinery",
        description="Combined modules.dep for all extensions",
    )
    return Extension("modules.dep", staging, metadata)


def copy_tree(source: Path, target: Path, then: FileOperation | None = None) -> None:
    """Copies a file or folder over another, links followed; `then` is called on each source, folders last.

    Raises ImagerError `stat PATH: no such file or directory`.
    """
    mode = require(source).st_mode & 0o777
    if source.is_dir():
        target.mkdir(mode=mode, parents=True, exist_ok=True)
        for item in sorted(source.iterdir()):
            copy_tree(item, target / item.name, then)
    else:
        with source.open("rb") as read, os.fdopen(os.open(target, os.O_CREAT | os.O_WRONLY, mode), "wb") as write:
            shutil.copyfileobj(read, write)
    if then is not None:
        then(source)


def remove(path: Path) -> None:
    """Removes a file or an empty folder."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


def _extract_rootfs(initramfs: Path, target: Path) -> None:
    """Writes `rootfs.sqsh` of the initramfs's first archive to a file."""
    with initramfs.open("rb") as file:
        magic = file.read(4)
    tool = "xz" if magic == _XZ_MAGIC else "zstd"
    if magic not in {_XZ_MAGIC, _ZSTD_MAGIC}:
        raise ImagerError("error extacting cpio: magic number mismatch")
    with subprocess.Popen([tool, "-dcq", initramfs], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            _copy_cpio_entry(process.stdout, ROOTFS, target)
        finally:
            process.kill()


def _copy_cpio_entry(archive: IO[bytes], wanted: str, target: Path) -> None:
    while len(header := archive.read(_CPIO_HEADER)) == _CPIO_HEADER:
        if header[:6] not in {b"070701", b"070702"}:
            break
        size, name_size = int(header[54:62], 16), int(header[94:102], 16)
        name = archive.read(name_size + -(_CPIO_HEADER + name_size) % 4)[: name_size - 1].decode(errors="replace")
        if name == "TRAILER!!!":
            break
        with (target if name == wanted else Path(os.devnull)).open("wb") as file:
            left = size
            while left > 0 and (chunk := archive.read(min(left, 1 << 20))):
                file.write(chunk)
                left -= len(chunk)
        if name == wanted:
            return
        archive.read(-size % 4)
    raise ImagerError(f"error running unsquashfs: the initramfs holds no {wanted}")
