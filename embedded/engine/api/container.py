"""The fields of `Container` that run commands and change its files.

Mounts and settings are in `container_settings.py`, what makes images of it in `images.py`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import replace

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.container_settings import expanded
from embedded.engine.api.context import Engine
from embedded.engine.api.directory import describe, path_exists, refuse_gitignore
from embedded.engine.api.execs import OUTPUT_FOLDER, Command, offer_api, with_exec
from embedded.engine.api.owners import owner_ids
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import (
    Container,
    Directory,
    File,
    MountPoint,
    Named,
    inside,
)
from embedded.engine.errors import EngineError, UnsupportedError

# --- running ----------------------------------------------------------------------------------------------------


@resolver("Container", "withExec")
async def with_exec_(
    self: Container,
    engine: Engine,
    args: list[str],
    use_entrypoint: bool = False,
    stdin: str = "",
    redirect_stdin: str = "",
    redirect_stdout: str = "",
    redirect_stderr: str = "",
    expect: str = "SUCCESS",
    experimental_privileged_nesting: bool = False,
    insecure_root_capabilities: bool = False,
    expand: bool = False,
    no_init: bool = False,
) -> Container:
    if no_init:
        raise UnsupportedError("Container.withExec(noInit: true)")
    if experimental_privileged_nesting:
        await offer_api(engine)
    words = [expanded(self, word, expand) for word in args or self.settings.cmd]
    if use_entrypoint:
        words = [*self.settings.entrypoint, *words]
    if not words:
        raise EngineError("no command has been set")
    redirects = [self.absolute(path) if path else "" for path in (redirect_stdin, redirect_stdout, redirect_stderr)]
    command = Command(tuple(words), stdin, *redirects, expect=expect, insecure=insecure_root_capabilities)
    command = replace(command, nested=experimental_privileged_nesting)
    return with_exec(engine, self, command)


async def _kept(self: Container, engine: Engine, name: str) -> str:
    if self.last is None:
        raise EngineError("no command has been set")
    path = f"/{OUTPUT_FOLDER}/{name}"
    text = (await engine.contents(File(self.last.output, path))).decode(errors="replace")
    if self.last.output.vertex is not None:
        engine.note_output(self.last.output.vertex.name, text)
    return text


@resolver("Container", "stdout")
async def stdout(self: Container, engine: Engine) -> str:
    return await _kept(self, engine, "stdout")


@resolver("Container", "stderr")
async def stderr(self: Container, engine: Engine) -> str:
    return await _kept(self, engine, "stderr")


@resolver("Container", "combinedOutput")
async def combined_output(self: Container, engine: Engine) -> str:
    return await _kept(self, engine, "combined")


@resolver("Container", "exitCode")
async def exit_code(self: Container, engine: Engine) -> int:
    return int(await _kept(self, engine, "exitCode"))


@resolver("Container", "sync")
async def sync(self: Container, engine: Engine) -> str:
    await engine.solve(self.root)
    return engine.id_of(self)


# --- the filesystem -----------------------------------------------------------------------------------------------


def locate(self: Container, path: str) -> tuple[MountPoint | None, Directory | File, str]:
    """Where a path of the container really lies: its mount (None: the root filesystem), that source, the path in it."""
    full = self.absolute(path)
    for point in sorted(self.mounts, key=lambda point: -len(point.path)):
        if full != point.path and not full.startswith(point.path.rstrip("/") + "/"):
            continue
        if point.source is None or point.kind not in ("directory", "file"):
            raise EngineError(f"{full} lies in a {point.kind} mount, which can't be read from outside an exec")
        return point, point.source, full[len(point.path) :].lstrip("/")
    return None, Directory(self.root), full


def place(self: Container, path: str) -> tuple[llb.Output, str]:
    """The tree and the path in it of a path of the container."""
    _, source, rest = locate(self, path)
    return source.tree, source.path if not rest or isinstance(source, File) else inside(source.path, rest)


def change(self: Container, path: str, edit: Callable[[Directory, str], Directory]) -> Container:
    """Edit the tree that a path lies in, be it the root filesystem or a mounted folder."""
    point, source, rest = locate(self, path)
    if point is None:
        return replace(self, root=edit(Directory(self.root), rest).tree, image_ref="")
    if isinstance(source, File):
        raise EngineError(f"{path} lies in a file mount, which can't be changed")
    changed = replace(point, source=edit(source, rest + "/" * path.endswith("/")))
    return replace(self, mounts=tuple(changed if each is point else each for each in self.mounts))


@resolver("Container", "rootfs")
async def rootfs(self: Container, engine: Engine) -> Directory:
    return Directory(self.root)


@resolver("Container", "withRootfs")
async def with_rootfs(self: Container, engine: Engine, directory: str) -> Container:
    return replace(self, root=trees.rooted(engine.load(directory, Directory)).tree, image_ref="")


@resolver("Container", "directory")
async def directory(self: Container, engine: Engine, path: str, expand: bool = False) -> Directory:
    return Directory(*place(self, expanded(self, path, expand)))


@resolver("Container", "file")
async def file(self: Container, engine: Engine, path: str, expand: bool = False) -> File:
    return File(*place(self, expanded(self, path, expand)))


@resolver("Container", "exists")
async def exists(
    self: Container,
    engine: Engine,
    path: str,
    expected_type: str | None = None,
    do_not_follow_symlinks: bool = False,
    expand: bool = False,
) -> bool:
    return await path_exists(engine, *place(self, expanded(self, path, expand)), expected_type, do_not_follow_symlinks)


@resolver("Container", "stat")
async def stat(self: Container, engine: Engine, path: str, do_not_follow_symlinks: bool = False) -> Named:
    look = engine.lstat if do_not_follow_symlinks else engine.stat
    return describe(await look(*place(self, path), path))


@resolver("Container", "withDirectory")
async def with_directory(
    self: Container,
    engine: Engine,
    path: str,
    source: str,
    exclude: list[str],
    include: list[str],
    gitignore: bool = False,
    owner: str = "",
    expand: bool = False,
    permissions: int | None = None,
) -> Container:
    refuse_gitignore(gitignore)
    tree = engine.load(source, Directory)
    owner = await owner_ids(engine, self, owner)
    return change(
        self,
        expanded(self, path, expand),
        lambda base, at: trees.with_directory(
            base, at, tree, include=include, exclude=exclude, owner=owner, mode=permissions
        ),
    )


@resolver("Container", "withFile")
async def with_file(
    self: Container,
    engine: Engine,
    path: str,
    source: str,
    permissions: int | None = None,
    owner: str = "",
    expand: bool = False,
) -> Container:
    given = engine.load(source, File)
    owner = await owner_ids(engine, self, owner)
    path = expanded(self, path, expand)
    if path.endswith("/"):
        path = posixpath.join(path, given.name)
    return change(self, path, lambda base, at: trees.with_file(base, at, given, owner=owner, mode=permissions))


@resolver("Container", "withFiles")
async def with_files(
    self: Container,
    engine: Engine,
    path: str,
    sources: list[str],
    permissions: int | None = None,
    owner: str = "",
    expand: bool = False,
) -> Container:
    for source in sources:
        self = await with_file(self, engine, path.rstrip("/") + "/", source, permissions, owner, expand)
    return self


@resolver("Container", "withNewFile")
async def with_new_file(
    self: Container,
    engine: Engine,
    path: str,
    contents: str,
    permissions: int = trees.FILE_MODE,
    owner: str = "",
    expand: bool = False,
) -> Container:
    owner = await owner_ids(engine, self, owner)
    return change(
        self,
        expanded(self, path, expand),
        lambda base, at: trees.with_new_file(base, at, contents.encode(), permissions, owner),
    )


@resolver("Container", "withSymlink")
async def with_symlink(self: Container, engine: Engine, target: str, link_name: str, expand: bool = False) -> Container:
    where = expanded(self, link_name, expand)
    return change(self, where, lambda base, at: trees.with_symlink(base, expanded(self, target, expand), at))


@resolver("Container", "withoutFile", "withoutDirectory")
async def without_path(self: Container, engine: Engine, path: str, expand: bool = False) -> Container:
    return change(self, expanded(self, path, expand), lambda base, at: trees.without(base, [at]))


@resolver("Container", "withoutFiles")
async def without_files(self: Container, engine: Engine, paths: list[str], expand: bool = False) -> Container:
    for path in paths:
        self = await without_path(self, engine, path, expand)
    return self
