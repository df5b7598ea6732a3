"""The fields of `Container` that shape it and run commands in it. What makes images of it is in `images.py`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.context import Engine
from embedded.engine.api.directory import describe, path_exists, refuse_gitignore
from embedded.engine.api.execs import OUTPUT_FOLDER, Command, with_exec
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import (
    CacheVolume,
    Container,
    Directory,
    File,
    MountPoint,
    Named,
    Secret,
    inside,
)
from embedded.engine.errors import EngineError, UnsupportedError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def expanded(container: Container, text: str, expand: bool) -> str:
    """Replace `$NAME` and `${NAME}` by the container's environment; unknown names become nothing."""
    if not expand:
        return text
    return _VARIABLE.sub(lambda found: container.settings.env_value(found[1] or found[2]) or "", text)


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
    if experimental_privileged_nesting:
        raise UnsupportedError("Container.withExec(experimentalPrivilegedNesting: true)")
    words = [expanded(self, word, expand) for word in args or self.settings.cmd]
    if use_entrypoint:
        words = [*self.settings.entrypoint, *words]
    if not words:
        raise EngineError("no command has been set")
    redirects = [self.absolute(path) if path else "" for path in (redirect_stdin, redirect_stdout, redirect_stderr)]
    command = Command(tuple(words), stdin, *redirects, expect=expect, insecure=insecure_root_capabilities)
    return with_exec(engine, self, command)


async def _kept(self: Container, engine: Engine, name: str) -> str:
    if self.last is None:
        raise EngineError("no command has been set")
    path = f"/{OUTPUT_FOLDER}/{name}"
    return (await engine.contents(File(self.last.output, path))).decode(errors="replace")


@resolver("Container", "stdout")
async def stdout(self: Container, engine: Engine) -> str:
    return await _kept(self, engine, "stdout")


@resolver("Container", "stderr")
async def stderr(self: Container, engine: Engine) -> str:
    return await _kept(self, engine, "stderr")


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
    return await path_exists(engine, *place(self, expanded(self, path, expand)), expected_type)


@resolver("Container", "stat")
async def stat(self: Container, engine: Engine, path: str, do_not_follow_symlinks: bool = False) -> Named:
    return describe(await engine.stat(*place(self, path), path))


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


# --- mounts -------------------------------------------------------------------------------------------------------


def mounted(self: Container, point: MountPoint) -> Container:
    others = tuple(other for other in self.mounts if other.path != point.path)
    return replace(self, mounts=(*others, point))


@resolver("Container", "mounts")
async def mounts(self: Container, engine: Engine) -> list[str]:
    return [point.path for point in self.mounts]


@resolver("Container", "withMountedDirectory")
async def with_mounted_directory(
    self: Container,
    engine: Engine,
    path: str,
    source: str,
    owner: str = "",
    read_only: bool = False,
    expand: bool = False,
) -> Container:
    tree = engine.load(source, Directory)
    if owner:
        tree = trees.with_directory(Directory(), "/", tree, owner=owner)
    where = self.absolute(expanded(self, path, expand))
    return mounted(self, MountPoint(where, "directory", tree, read_only=read_only))


@resolver("Container", "withMountedFile")
async def with_mounted_file(
    self: Container, engine: Engine, path: str, source: str, owner: str = "", expand: bool = False
) -> Container:
    given = engine.load(source, File)
    if owner:
        given = trees.file_with(given, owner=owner)
    return mounted(self, MountPoint(self.absolute(expanded(self, path, expand)), "file", given))


@resolver("Container", "withMountedCache")
async def with_mounted_cache(
    self: Container,
    engine: Engine,
    path: str,
    cache: str,
    source: str | None = None,
    sharing: str = "SHARED",
    owner: str = "",
    expand: bool = False,
) -> Container:
    volume = engine.load(cache, CacheVolume)
    seed = engine.load(source, Directory) if source else None
    where = self.absolute(expanded(self, path, expand))
    return mounted(self, MountPoint(where, "cache", seed, volume, sharing=sharing, owner=owner or volume.owner))


@resolver("Container", "withMountedTemp")
async def with_mounted_temp(
    self: Container, engine: Engine, path: str, size: int | None = None, expand: bool = False
) -> Container:
    return mounted(self, MountPoint(self.absolute(expanded(self, path, expand)), "temp", size=size or 0))


@resolver("Container", "withMountedSecret")
async def with_mounted_secret(
    self: Container,
    engine: Engine,
    path: str,
    source: str,
    owner: str = "",
    mode: int = 0o400,
    expand: bool = False,
) -> Container:
    where = self.absolute(expanded(self, path, expand))
    return mounted(self, MountPoint(where, "secret", secret=engine.load(source, Secret), owner=owner, mode=mode))


@resolver("Container", "withoutMount")
async def without_mount(self: Container, engine: Engine, path: str, expand: bool = False) -> Container:
    where = self.absolute(expanded(self, path, expand))
    return replace(self, mounts=tuple(point for point in self.mounts if point.path != where))


# --- settings -----------------------------------------------------------------------------------------------------


def with_settings(self: Container, **changes: Any) -> Container:
    return replace(self, settings=replace(self.settings, **changes), image_ref="")


def _pairs(pairs: tuple[tuple[str, str], ...], name: str, value: str | None) -> tuple[tuple[str, str], ...]:
    kept = {key: old for key, old in pairs if value is not None or key != name}
    if value is not None:
        kept[name] = value
    return tuple(kept.items())


@resolver("Container", "withEnvVariable")
async def with_env_variable(self: Container, engine: Engine, name: str, value: str, expand: bool = False) -> Container:
    return with_settings(self, env=_pairs(self.settings.env, name, expanded(self, value, expand)))


@resolver("Container", "withoutEnvVariable")
async def without_env_variable(self: Container, engine: Engine, name: str) -> Container:
    return with_settings(self, env=_pairs(self.settings.env, name, None))


@resolver("Container", "envVariable")
async def env_variable(self: Container, engine: Engine, name: str) -> str | None:
    return self.settings.env_value(name)


def _named(kind: str, pairs: tuple[tuple[str, str], ...]) -> list[Named]:
    return [Named(kind, (("name", name), ("value", value))) for name, value in pairs]


@resolver("Container", "envVariables")
async def env_variables(self: Container, engine: Engine) -> list[Named]:
    return _named("EnvVariable", self.settings.env)


@resolver("Container", "withSecretVariable")
async def with_secret_variable(self: Container, engine: Engine, name: str, secret: str) -> Container:
    others = tuple(pair for pair in self.secret_env if pair[0] != name)
    return replace(self, secret_env=(*others, (name, engine.load(secret, Secret))))


@resolver("Container", "withoutSecretVariable")
async def without_secret_variable(self: Container, engine: Engine, name: str) -> Container:
    return replace(self, secret_env=tuple(pair for pair in self.secret_env if pair[0] != name))


@resolver("Container", "withLabel")
async def with_label(self: Container, engine: Engine, name: str, value: str) -> Container:
    return with_settings(self, labels=_pairs(self.settings.labels, name, value))


@resolver("Container", "withoutLabel")
async def without_label(self: Container, engine: Engine, name: str) -> Container:
    return with_settings(self, labels=_pairs(self.settings.labels, name, None))


@resolver("Container", "label")
async def label(self: Container, engine: Engine, name: str) -> str | None:
    return dict(self.settings.labels).get(name)


@resolver("Container", "labels")
async def labels(self: Container, engine: Engine) -> list[Named]:
    return _named("Label", self.settings.labels)


@resolver("Container", "withAnnotation")
async def with_annotation(self: Container, engine: Engine, name: str, value: str) -> Container:
    return replace(self, annotations=_pairs(self.annotations, name, value))


@resolver("Container", "withoutAnnotation")
async def without_annotation(self: Container, engine: Engine, name: str) -> Container:
    return replace(self, annotations=_pairs(self.annotations, name, None))


@resolver("Container", "withEntrypoint")
async def with_entrypoint(
    self: Container, engine: Engine, args: list[str], keep_default_args: bool = False
) -> Container:
    # default arguments that came with the image belong to its old entrypoint
    kept = self.settings.cmd if keep_default_args or self.default_args_set else ()
    return with_settings(self, entrypoint=tuple(args), cmd=kept)


@resolver("Container", "withoutEntrypoint")
async def without_entrypoint(self: Container, engine: Engine, keep_default_args: bool = False) -> Container:
    return await with_entrypoint(self, engine, [], keep_default_args)


@resolver("Container", "entrypoint")
async def entrypoint(self: Container, engine: Engine) -> list[str]:
    return list(self.settings.entrypoint)


@resolver("Container", "withDefaultArgs")
async def with_default_args(self: Container, engine: Engine, args: list[str]) -> Container:
    return replace(with_settings(self, cmd=tuple(args)), default_args_set=True)


@resolver("Container", "withoutDefaultArgs")
async def without_default_args(self: Container, engine: Engine) -> Container:
    return replace(with_settings(self, cmd=()), default_args_set=False)


@resolver("Container", "defaultArgs")
async def default_args(self: Container, engine: Engine) -> list[str]:
    return list(self.settings.cmd)


@resolver("Container", "withUser")
async def with_user(self: Container, engine: Engine, name: str) -> Container:
    return with_settings(self, user=name)


@resolver("Container", "withoutUser")
async def without_user(self: Container, engine: Engine) -> Container:
    return with_settings(self, user="")


@resolver("Container", "user")
async def user(self: Container, engine: Engine) -> str:
    return self.settings.user


@resolver("Container", "withWorkdir")
async def with_workdir(self: Container, engine: Engine, path: str, expand: bool = False) -> Container:
    return with_settings(self, workdir=self.absolute(expanded(self, path, expand)))


@resolver("Container", "withoutWorkdir")
async def without_workdir(self: Container, engine: Engine) -> Container:
    return with_settings(self, workdir="")


@resolver("Container", "workdir")
async def workdir(self: Container, engine: Engine) -> str:
    return self.settings.workdir


@resolver("Container", "withExposedPort")
async def with_exposed_port(
    self: Container,
    engine: Engine,
    port: int,
    protocol: str = "TCP",
    description: str | None = None,
    experimental_skip_healthcheck: bool = False,
) -> Container:
    return with_settings(self, ports=_pairs(self.settings.ports, f"{port}/{protocol.lower()}", description or ""))


@resolver("Container", "withoutExposedPort")
async def without_exposed_port(self: Container, engine: Engine, port: int, protocol: str = "TCP") -> Container:
    return with_settings(self, ports=_pairs(self.settings.ports, f"{port}/{protocol.lower()}", None))


@resolver("Container", "withError")
async def with_error(self: Container, engine: Engine, err: str) -> Container:
    if err:
        raise EngineError(err)
    return self
