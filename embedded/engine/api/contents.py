"""A digest of what a directory holds."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Final

from embedded.engine.api.context import Engine
from embedded.engine.api.globs import walk
from embedded.engine.api.values import Directory, File
from embedded.engine.buildkit import FileStat

AT_A_TIME: Final = 8
"""Files that are read in parallel: each is whole in memory meanwhile."""


async def content_digest(engine: Engine, directory: Directory) -> str:
    """Return `sha256:…` over names, modes, owners, links and bytes below a directory; times do not count."""
    entries = await walk(engine, directory)
    slots = asyncio.Semaphore(AT_A_TIME)

    async def described(path: str, entry: FileStat) -> list[object]:
        content = ""
        if not entry.is_dir and not entry.is_symlink and entry.size:
            async with slots:
                data = await engine.contents(File(directory.tree, directory.at(path)))
            content = hashlib.sha256(data).hexdigest()
        return [path, entry.mode, entry.owner, entry.link, content]

    lines = await asyncio.gather(*(described(path, entry) for path, entry in entries.items()))
    return "sha256:" + hashlib.sha256(json.dumps(lines).encode(errors="surrogateescape")).hexdigest()
