"""Removes what set-up made for other versions of this project, or left behind when it was killed."""

from __future__ import annotations

import shutil
from pathlib import Path

from embedded.setup.paths import REVISION, paths, step_folder
from embedded.setup.steps import locked_if_free


def remove_superseded() -> list[Path]:
    """Remove the folders of all steps but those of this checkout; returns them.

    A folder that a set-up is just making is left alone.
    """
    current = {step_folder(step).name for step in REVISION}
    removed: list[Path] = []
    for folder in sorted(paths().setup.glob("*-*")):
        name = folder.name.removeprefix(".").removesuffix(".new").removesuffix(".old")
        if folder.name in current or name.rpartition("-")[0] not in REVISION:
            continue
        with locked_if_free(name) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed
