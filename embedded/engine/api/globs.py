"""Walking a directory, and matching its paths with Dagger's patterns (`*`, `**`, `?`, `[a-z]`)."""

from __future__ import annotations

import asyncio
import itertools
import posixpath
import re
from collections.abc import Sequence

from wcmatch import glob as wc

from embedded.engine.api.context import Engine
from embedded.engine.api.values import Directory
from embedded.engine.buildkit import FileStat

FLAGS = wc.GLOBSTAR | wc.DOTGLOB | wc.FORCEUNIX
_SPECIAL = re.compile(r"[*?\[\]!\\]")


async def walk(
    engine: Engine, directory: Directory, depth: int | None = None, within: Sequence[str] = ()
) -> dict[str, FileStat]:
    """Every path below a directory, without a leading slash, in order of the names.

    Args:
        engine: the session's.
        directory: where to begin.
        depth: how many levels at the most.
        within: the names of the folders, from the outermost, that alone are of interest.
    """
    found: dict[str, FileStat] = {}

    async def visit(path: str, level: int) -> None:
        below: list[str] = []
        for entry in await engine.entries(directory, path):
            full = f"{path}/{entry.name}".lstrip("/")
            found[full] = entry
            wanted = level >= len(within) or entry.name == within[level]
            if entry.is_dir and wanted and (depth is None or level + 1 < depth):
                below.append(full)
        await asyncio.gather(*(visit(folder, level + 1) for folder in below))

    await visit("", 0)
    return dict(sorted(found.items()))


def plain_folders(pattern: str) -> list[str]:
    """The folders that a pattern begins with before anything in it stands for more than one name."""
    return list(itertools.takewhile(lambda name: not _SPECIAL.search(name), pattern.split("/")[:-1]))


async def glob(engine: Engine, directory: Directory, pattern: str) -> list[str]:
    """The paths that match, folders with a `/` behind them."""
    pattern = posixpath.normpath(pattern)
    depth = None if "**" in pattern else pattern.strip("/").count("/") + 1
    entries = await walk(engine, directory, depth, plain_folders(pattern))
    return [path + "/" * entry.is_dir for path, entry in entries.items() if wc.globmatch(path, pattern, flags=FLAGS)]
