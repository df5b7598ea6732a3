"""Removes what set-up made for other versions of this project, or left behind when it was killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedded.setup.golang import clear_caches
from embedded.setup.paths import REVISION, paths, step_folder
from embedded.setup.steps import locked_if_free

FORMER_STEPS = ("programs",)
"""Steps that versions before this one had."""


@dataclass(frozen=True)
class Removed:
    """What was removed, in words, and how many bytes of the disk that freed."""

    what: str
    freed: int


def remove_superseded(used: Callable[[Path], int]) -> list[Removed]:
    """Remove all that this checkout does not use; `used` gives what a file or folder takes of the disk.

    What somebody is just making, or uses as a cache of the development tools, is left alone.
    """
    removed = [remove(f"set-up of another version, {folder.name}", [folder], used) for folder in _steps()]
    before = used(paths().go)
    clear_caches()
    removed.append(Removed("Go's caches", max(0, before - used(paths().go))))
    return [one for one in removed if one.freed]


def _steps() -> list[Path]:
    """Return the folders of all steps but those of this checkout, and but those that a set-up is just making."""
    current = {step_folder(step).name for step in REVISION}
    found: list[Path] = []
    for folder in sorted(paths().setup.glob("*-*")):
        name = folder.name.removeprefix(".").removesuffix(".new").removesuffix(".old")
        if folder.name in current or name.rpartition("-")[0] not in {*REVISION, *FORMER_STEPS}:
            continue
        with locked_if_free(name) as free:
            if free:
                found.append(folder)
    return found


def remove(what: str, places: list[Path], used: Callable[[Path], int]) -> Removed:
    """Remove files and folders; `what` they are is said in words."""
    freed = sum(place.lstat().st_blocks * 512 if place.is_file() else used(place) for place in places)
    for place in places:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    return Removed(what, freed)
