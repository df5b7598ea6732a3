"""Removes what recipes left that there are no more, and blobs that no recipe names."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from embedded.lab.builder import Builder
from embedded.lab.recipe import blobs_of
from embedded.setup.prune import Removed, remove


def remove_superseded(builder: Builder, used: Callable[[Path], int]) -> list[Removed]:
    """Remove what the lab's current recipes do not use; a lab that is just being made is left alone.

    `used` gives what a file or folder takes of the disk.
    """
    places: list[Path] = []
    with builder.free() as free:
        if not free:
            return []
        named = set[str]()
        for stamp in builder.lab.glob("stamps/*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                made = json.loads(stamp.read_text())
                if made["name"] in builder.recipes:
                    named |= {blob.digest.partition(":")[2] for blob in blobs_of(made["value"])}
                else:
                    places += [stamp, builder.results_folder(made["name"]), builder.log(made["name"])]
        places += [blob for blob in builder.blobs.folder.glob("sha256/*") if blob.name not in named]
        removed = remove("what the lab made for another version", places, used)
    return [removed] if removed.freed else []
