"""The fields of `Directory`."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.contents import content_digest
from embedded.engine.api.context import Engine
from embedded.engine.api.globs import glob
from embedded.engine.api.hostpaths import (
    FROM_COMMAND_LINE,
    is_own,
    make_host_folder,
    note_export,
    refuse_to_wipe,
    written,
)
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Directory, File, Named
from embedded.engine.buildkit import FileStat
from embedded.engine.errors import EngineError, UnsupportedError

CLOCK_TICK: Final = 0.011
"""Seconds: a little more than the longest tick that a kernel's coarse clock has (100 Hz)."""


@resolver("Query", "directory")
async def directory(_: object, engine: Engine) -> Directory:
    return Directory()


@resolver("Directory", "directory")
async def subdirectory(self: Directory, engine: Engine, path: str) -> Directory:
    return Directory(self.tree, self.at(path))


@resolver("Directory", "file")
async def file(self: Directory, engine: Engine, path: str) -> File:
    return File(self.tree, self.at(path))


@resolver("Directory", "name")
async def name(self: Directory, engine: Engine) -> str:
    return self.path.rstrip("/").rpartition("/")[2]


@resolver("Directory", "entries")
async def entries(self: Directory, engine: Engine, path: str | None = None) -> list[str]:
    found = await engine.entries(self, path or "")
    return sorted(entry.name + "/" * entry.is_dir for entry in found)


@resolver("Directory", "glob")
async def glob_(self: Directory, engine: Engine, pattern: str) -> list[str]:
    return await glob(engine, self, pattern)


@resolver("Directory", "exists")
async def exists(
    self: Directory,
    engine: Engine,
    path: str,
    expected_type: str | None = None,
    do_not_follow_symlinks: bool = False,
) -> bool:
    return await path_exists(engine, self.tree, self.at(path), expected_type, do_not_follow_symlinks)


async def path_exists(
    engine: Engine, tree: llb.Output, path: str, expected_type: str | None = None, no_follow: bool = False
) -> bool:
    look = engine.lstat if no_follow or expected_type == "SYMLINK_TYPE" else engine.stat
    try:
        stat = await look(tree, path, path)
    except EngineError as error:
        if "no such file" in str(error) or "not a directory" in str(error):
            return False
        raise
    return expected_type is None or expected_type == f"{kind_of(stat)}_TYPE"


def kind_of(stat: FileStat) -> str:
    return "DIRECTORY" if stat.is_dir else "SYMLINK" if stat.is_symlink else "REGULAR"


@resolver("Directory", "stat")
async def stat(self: Directory, engine: Engine, path: str, do_not_follow_symlinks: bool = False) -> Named:
    look = engine.lstat if do_not_follow_symlinks else engine.stat
    return describe(await look(self.tree, self.at(path), path))


def describe(stat: FileStat) -> Named:
    name = stat.name.rpartition("/")[2]
    return Named(
        "Stat",
        (("name", name), ("size", stat.size), ("permissions", stat.permissions), ("fileType", kind_of(stat))),
    )


@resolver("Directory", "withNewFile")
async def with_new_file(self: Directory, engine: Engine, path: str, contents: str, permissions: int) -> Directory:
    return trees.with_new_file(self, path, contents.encode(), permissions)


@resolver("Directory", "withNewDirectory")
async def with_new_directory(self: Directory, engine: Engine, path: str, permissions: int) -> Directory:
    # the schema's default is a file's mode; Dagger makes of it a folder that can be entered
    return trees.with_new_directory(self, path, trees.FOLDER_MODE if permissions == 0o644 else permissions)


@resolver("Directory", "withSymlink")
async def with_symlink(self: Directory, engine: Engine, target: str, link_name: str) -> Directory:
    return trees.with_symlink(self, target, link_name)


@resolver("Directory", "withDirectory")
async def with_directory(
    self: Directory,
    engine: Engine,
    path: str,
    source: str,
    exclude: list[str],
    include: list[str],
    gitignore: bool = False,
    owner: str = "",
    permissions: int | None = None,
) -> Directory:
    refuse_gitignore(gitignore)
    tree = engine.load(source, Directory)
    return trees.with_directory(self, path, tree, include=include, exclude=exclude, owner=owner, mode=permissions)


@resolver("Directory", "filter")
async def filter_(
    self: Directory, engine: Engine, exclude: list[str], include: list[str], gitignore: bool = False
) -> Directory:
    refuse_gitignore(gitignore)
    return trees.with_directory(Directory(), "/", self, include=include, exclude=exclude)


def refuse_gitignore(asked: bool) -> None:
    if asked:
        raise UnsupportedError("the argument gitignore (name the patterns in exclude)")


@resolver("Directory", "withFile")
async def with_file(
    self: Directory, engine: Engine, path: str, source: str, permissions: int | None = None, owner: str = ""
) -> Directory:
    return trees.with_file(self, path, engine.load(source, File), owner=owner, mode=permissions)


@resolver("Directory", "withFiles")
async def with_files(
    self: Directory, engine: Engine, path: str, sources: list[str], permissions: int | None = None
) -> Directory:
    for source in sources:
        self = trees.with_file(self, path.rstrip("/") + "/", engine.load(source, File), mode=permissions)
    return self


@resolver("Directory", "withoutFile", "withoutDirectory")
async def without_path(self: Directory, engine: Engine, path: str) -> Directory:
    return trees.without(self, [path])


@resolver("Directory", "withoutFiles")
async def without_files(self: Directory, engine: Engine, paths: list[str]) -> Directory:
    return trees.without(self, paths)


@resolver("Directory", "withTimestamps")
async def with_timestamps(self: Directory, engine: Engine, timestamp: int) -> Directory:
    return trees.with_timestamps(self, timestamp)


@resolver("Directory", "chown")
async def chown(self: Directory, engine: Engine, path: str, owner: str) -> Directory:
    part = Directory(self.tree, self.at(path))
    return trees.with_directory(self, path, part, owner=owner)


@resolver("Directory", "withError")
async def with_error(self: Directory, engine: Engine, err: str) -> Directory:
    if err:
        raise EngineError(err)
    return self


@resolver("Directory", "diff")
async def diff(self: Directory, engine: Engine, other: str) -> Directory:
    await made_before(engine, self)
    return trees.difference(self, engine.load(other, Directory))


async def made_before(engine: Engine, directory: Directory) -> None:
    """Have a directory made before what it is to be compared with.

    BuildKit takes two files of the same size and time for the same, and the kernel gives the same time to all that is
    made in one tick of its clock.
    """
    await engine.solve(trees.rooted(directory).tree)
    await asyncio.sleep(CLOCK_TICK)


@resolver("Directory", "findUp")
async def find_up(self: Directory, engine: Engine, name: str, start: str) -> str | None:
    folder = start.strip("/").removeprefix("./")
    while True:
        path = f"{folder}/{name}".lstrip("/")
        if await path_exists(engine, self.tree, self.at(path)):
            return path
        if not folder:
            return None
        folder = folder.rpartition("/")[0]


@resolver("Directory", "digest")
async def digest(self: Directory, engine: Engine) -> str:
    """Equal for equal content, however it was composed: names, modes, owners, links and bytes, not times."""
    return await content_digest(engine, self)


@resolver("Directory", "sync")
async def sync(self: Directory, engine: Engine) -> str:
    await engine.stat(self.tree, self.path, self.path)
    return engine.id_of(self)


@resolver("Directory", "export")
async def export(self: Directory, engine: Engine, path: str, wipe: bool = False) -> str:
    target = engine.host_path(path)
    if wipe and FROM_COMMAND_LINE.get():
        refuse_to_wipe(target, engine.workdir, engine.exports)
    own = wipe or is_own(target, engine.exports)
    await export_directory(engine, self, target, wipe=wipe)
    if own:  # what others have put there is still there else
        note_export(target, engine.exports)
    return str(target)


async def export_directory(engine: Engine, source: Directory, target: Path, *, wipe: bool = False) -> None:
    """Write a directory into a folder of the host; what lies there stays unless it is to be wiped."""
    await engine.stat(source.tree, source.path, source.path)
    if wipe:
        _empty_host_folder(target)
    make_host_folder(target)
    tree = trees.rooted(source).tree
    if tree is llb.SCRATCH:
        return
    await engine.write_to_host(tree, target)


def _empty_host_folder(target: Path) -> None:
    if target.is_dir():
        with written(target):
            for child in target.iterdir():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
