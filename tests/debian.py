"""Programs of Debian that tests run: unpacked below the cache, once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from embedded.setup.debian import unpack
from embedded.setup.steps import Job


def dev_folder() -> Path:
    """Return the folder of what tests need, below the cache."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cozystack-talos/dev"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def unpacked(name: str, packages: list[str], program: str) -> tuple[Path, str]:
    """Return the folder where packages are unpacked, and the folders of their libraries for `LD_LIBRARY_PATH`.

    `program` is a file that is there once they are.
    """
    folder = dev_folder() / name
    if not (folder / program).exists():
        new = folder.with_suffix(f".{os.getpid()}")
        new.mkdir()
        unpack(packages, new, Job(new / "log"))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    libraries = sorted({str(file.parent) for file in folder.glob("**/*-linux-gnu*/**/*.so*")})
    return folder, ":".join(libraries)
