"""Walking a directory, and matching its paths with Dagger's patterns (`*`, `**`, `?`, `[a-z]`, `{a,b}`)."""

from __future__ import annotations

import asyncio

from wcmatch import glob as wc

from embedded.engine.api.context import Engine
from embedded.engine.api.values import Directory
from embedded.engine.buildkit import FileStat

FLAGS = wc.GLOBSTAR | wc.DOTGLOB | wc.BRACE | wc.FORCEUNIX


async def walk(engine: Engine, directory: Directory, depth: int | None = None) -> dict[str, FileStat]:
    """Every path below a directory, without a leading slash, in order of the names; `depth` levels at the most."""
    found: dict[str, FileStat] = {}

    async def visit(path: str, left: int | None) -> None:
        entries = await engine.entries(directory, path)
        below: list[str] = []
        for entry in entries:
            full = f"{path}/{entry.name}".lstrip("/")
            found[full] = entry
            if entry.is_dir and (left is None or left > 1):
                below.append(full)
        await asyncio.gather(*(visit(folder, None if left is None else left - 1) for folder in below))

    await visit("", depth)
    return dict(sorted(found.items()))


async def glob(engine: Engine, directory: Directory, pattern: str) -> list[str]:
    """The paths that match, folders with a `/` behind them."""
    depth = None if "**" in pattern else pattern.strip("/").count("/") + 1
    entries = await walk(engine, directory, depth)
    return [path + "/" * entry.is_dir for path, entry in entries.items() if wc.globmatch(path, pattern, flags=FLAGS)]
