"""A cache that was moved, or that a CI service restored under another HOME: what it holds is looked through once."""

from __future__ import annotations

from pathlib import Path

from embedded.setup.contents import left_in, missing, note_contents
from embedded.setup.paths import REVISION, paths, step_folder
from embedded.setup.progress import Reporter
from embedded.setup.steps import disk_errors, locked_if_free, remove


def settle(report: Reporter) -> None:
    """Keep what is whole in a cache that was made elsewhere; remove what is not, so that it is made anew."""
    made: set[str] = set()
    with disk_errors(paths().setup / "logs" / "moved.log"):
        for folder in (step_folder(step) for step in REVISION):
            left = left_in(folder)
            if left is None or left.place == str(folder):
                continue
            with locked_if_free(folder.name) as free:
                if not free:
                    continue
                lacking = list(missing(folder, left))
                made.add(str(Path(left.place).parents[1]))
                if lacking:
                    remove(folder)
                    what = f"{len(lacking)} of {len(left.files)} files ({lacking[0]})"
                    report.note(f"{folder.name} lacks {what}, which it had in {left.place}: it is made anew")
                else:
                    note_contents(folder, folder)
    for place in sorted(made - {str(paths().cache)}):
        report.note(f"this cache was made in {place}, and now is {paths().cache}: what of it is whole is used")
