"""`Changeset`: what lies between two directories, and writing just that to the host."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from typing import ClassVar

from embedded.engine.api import trees
from embedded.engine.api.context import Engine
from embedded.engine.api.directory import export_directory, made_before
from embedded.engine.api.globs import walk
from embedded.engine.api.hostpaths import written
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Directory, File
from embedded.engine.errors import EngineError


@dataclass(frozen=True)
class Changeset:
    TYPE: ClassVar[str] = "Changeset"
    before: Directory = field(default_factory=Directory)
    after: Directory = field(default_factory=Directory)


@dataclass(frozen=True)
class Changes:
    """Paths, folders with a `/` behind them; nothing below a removed folder is named."""

    added: list[str]
    modified: list[str]
    removed: list[str]


@resolver("Query", "changeset")
async def changeset(_: object, engine: Engine) -> Changeset:
    return Changeset()


@resolver("Directory", "changes")
async def changes(self: Directory, engine: Engine, from_: str) -> Changeset:
    return Changeset(engine.load(from_, Directory), self)


@resolver("Directory", "withChanges")
async def with_changes(self: Directory, engine: Engine, changes: str) -> Directory:
    given = engine.load(changes, Changeset)
    found = await compare(engine, given)
    kept = trees.without(self, found.removed) if found.removed else self
    return trees.with_directory(kept, "/", await layer(given, engine))


async def compare(engine: Engine, self: Changeset) -> Changes:
    await made_before(engine, self.before)
    before, after = await asyncio.gather(walk(engine, self.before), walk(engine, self.after))
    shown = {path: path + "/" * entry.is_dir for path, entry in {**before, **after}.items()}
    added = [shown[path] for path in after if path not in before]
    gone = {path for path in before if path not in after}
    removed = [path + "/" * before[path].is_dir for path in before if path in gone and not _below(path, gone)]
    both = [path for path in after if path in before and not after[path].is_dir]

    async def differs(path: str) -> bool:
        old, new = before[path], after[path]
        if (old.mode, old.size, old.link) != (new.mode, new.size, new.link):
            return True
        texts = [engine.contents(File(side.tree, side.at(path))) for side in (self.before, self.after)]
        return not new.is_symlink and len(set(await asyncio.gather(*texts))) > 1

    answers = await asyncio.gather(*(differs(path) for path in both))
    return Changes(added, [path for path, answer in zip(both, answers, strict=True) if answer], removed)


def _below(path: str, folders: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:length]) in folders for length in range(1, len(parts)))


@resolver("Changeset", "before")
async def before(self: Changeset, engine: Engine) -> Directory:
    return self.before


@resolver("Changeset", "after")
async def after(self: Changeset, engine: Engine) -> Directory:
    return self.after


@resolver("Changeset", "addedPaths")
async def added_paths(self: Changeset, engine: Engine) -> list[str]:
    return (await compare(engine, self)).added


@resolver("Changeset", "modifiedPaths")
async def modified_paths(self: Changeset, engine: Engine) -> list[str]:
    return (await compare(engine, self)).modified


@resolver("Changeset", "removedPaths")
async def removed_paths(self: Changeset, engine: Engine) -> list[str]:
    return (await compare(engine, self)).removed


@resolver("Changeset", "isEmpty")
async def is_empty(self: Changeset, engine: Engine) -> bool:
    found = await compare(engine, self)
    return not (found.added or found.modified or found.removed)


@resolver("Changeset", "layer")
async def layer(self: Changeset, engine: Engine) -> Directory:
    await made_before(engine, self.before)
    return trees.difference(self.before, self.after)


@resolver("Changeset", "sync")
async def sync(self: Changeset, engine: Engine) -> str:
    for side in (self.before, self.after):
        await engine.stat(side.tree, side.path, side.path)
    return engine.id_of(self)


@resolver("Changeset", "export")
async def export(self: Changeset, engine: Engine, path: str) -> str:
    """Write what came and changed below a folder of the host, and delete there what was removed."""
    target = (engine.workdir / path).resolve()
    found = await compare(engine, self)
    for name in found.removed:
        gone = target / name.rstrip("/")
        if not gone.resolve().is_relative_to(target):
            raise EngineError(f"{name} leads out of {target}; nothing was removed there")
        with written(gone):
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink(missing_ok=True)
    await export_directory(engine, await layer(self, engine), target)
    return str(target)
