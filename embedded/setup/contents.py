"""What a step's folder holds, written down in it: elsewhere, nothing in it is believed before all of it was seen."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTENTS = ".contents.json"
"""The file that says it, in the folder itself."""


@dataclass(frozen=True)
class Left:
    """What a step has left: its folder, and each file with its size and whether it can be run."""

    place: str
    files: dict[str, tuple[int, bool]]


def note_contents(folder: Path, place: Path) -> None:
    """Write down what a folder holds that will be, or is, at a place."""
    files = {name: (status.st_size, _runs(status)) for name, status in _files(folder)}
    (folder / CONTENTS).write_text(json.dumps({"place": str(place), "files": files}))


def left_in(folder: Path) -> Left | None:
    """Read what a folder should hold; None where it does not say so, as those of earlier versions."""
    try:
        note: Any = json.loads((folder / CONTENTS).read_text())
        return Left(
            str(note["place"]), {str(name): (int(size), bool(runs)) for name, (size, runs) in note["files"].items()}
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Left(f"{folder}, by a note that can't be read", {CONTENTS: (0, False)})


def missing(folder: Path, left: Left) -> Iterator[str]:
    """Yield the files that are not in a folder as they were left."""
    found = {name: (status.st_size, _runs(status)) for name, status in _files(folder)}
    for name, expected in left.files.items():
        if found.get(name) != expected:
            yield name


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield files and links below a folder; what Python compiles it compiles anew where it is missing."""
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in (*names, *links):
            path = Path(parent) / name
            inside = str(path.relative_to(folder))
            if not name.endswith(".pyc") and inside != CONTENTS:
                yield inside, path.lstat()


def _runs(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o100)
