"""The fields of `File`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from embedded.engine.api import trees
from embedded.engine.api.context import Engine
from embedded.engine.api.directory import describe
from embedded.engine.api.hostpaths import file_place, make_host_folder, written
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Directory, File, Named
from embedded.engine.errors import EngineError


@resolver("Query", "file")
async def file(_: object, engine: Engine, name: str, contents: str, permissions: int) -> File:
    tree = trees.with_new_file(Directory(), name, contents.encode(), permissions)
    return File(tree.tree, tree.at(name))


@resolver("File", "name")
async def name(self: File, engine: Engine) -> str:
    return self.name


@resolver("File", "contents")
async def contents(self: File, engine: Engine, offset_lines: int | None = None, limit_lines: int | None = None) -> str:
    text = (await engine.contents(self)).decode(errors="replace")
    if offset_lines is None and limit_lines is None:
        return text
    lines = text.splitlines(keepends=True)[offset_lines or 0 :]
    return "".join(lines if limit_lines is None else lines[:limit_lines])


@resolver("File", "size")
async def size(self: File, engine: Engine) -> int:
    return (await _stat(self, engine)).size


async def _stat(self: File, engine: Engine):
    return await engine.stat(self.tree, self.path, self.path)


@resolver("File", "stat")
async def stat(self: File, engine: Engine) -> Named:
    return describe(await _stat(self, engine))


@resolver("File", "sync")
async def sync(self: File, engine: Engine) -> str:
    await _stat(self, engine)
    return engine.id_of(self)


@resolver("File", "withName")
async def with_name(self: File, engine: Engine, name: str) -> File:
    return trees.renamed(self, name)


@resolver("File", "withTimestamps")
async def with_timestamps(self: File, engine: Engine, timestamp: int) -> File:
    return trees.file_with(self, timestamp=timestamp)


@resolver("File", "chown")
async def chown(self: File, engine: Engine, owner: str) -> File:
    return trees.file_with(self, owner=owner)


@resolver("File", "withReplaced")
async def with_replaced(
    self: File, engine: Engine, search: str, replacement: str, all: bool = False, first_from: int | None = None
) -> File:
    text = (await engine.contents(self)).decode()
    if search not in text and not all:
        raise EngineError("search string not found")
    if text.count(search) > 1 and not all and first_from is None:
        raise EngineError(f"search string found multiple times: {', '.join(_places(text, search))}")
    start = 0
    if first_from is not None:
        start = sum(len(line) for line in text.splitlines(keepends=True)[: first_from - 1])
    changed = text[:start] + text[start:].replace(search, replacement, -1 if all else 1)
    mode = (await _stat(self, engine)).permissions
    tree = trees.with_new_file(Directory(), self.name, changed.encode(), mode)
    return File(tree.tree, "/" + self.name)


def _places(text: str, search: str) -> Iterator[str]:
    """Say where a text occurs, as Dagger does: `line 1 (4-5)`."""
    for found in re.finditer(re.escape(search), text):
        column = found.start() - (text.rfind("\n", 0, found.start()) + 1)
        yield f"line {text.count(chr(10), 0, found.start()) + 1} ({column}-{column + len(search)})"


@resolver("File", "digest")
async def digest(self: File, engine: Engine, exclude_metadata: bool = False) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256(await engine.contents(self)).hexdigest()


@resolver("File", "export")
async def export(self: File, engine: Engine, path: str, allow_parent_dir_path: bool = False) -> str:
    target = engine.host_path(path)
    if target.is_dir():
        if not allow_parent_dir_path:
            raise EngineError(f"can't write the file {self.name} to {target}: it is a folder")
        target = target / self.name
    await export_file(engine, self, file_place(f"the file {self.name}", target))
    return str(target)


async def export_file(engine: Engine, source: File, target: Path) -> None:
    """Write a file to the host: whole or not at all under its name."""
    if (await _stat(source, engine)).is_dir:
        raise EngineError(f"path {source.path.lstrip('/')} is a directory, not a file")
    make_host_folder(target.parent)
    part = f".{target.name}.part"
    tree = trees.renamed(source, part).tree
    try:
        await engine.write_to_host(tree, target.parent)
        with written(target):
            (target.parent / part).replace(target)
    except EngineError as error:
        if part not in error.message:
            raise
        raise EngineError(error.message.replace(part, target.name), error.hint) from None
    finally:
        with contextlib.suppress(OSError):
            (target.parent / part).unlink(missing_ok=True)
