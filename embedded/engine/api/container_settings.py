"""The fields of `Container` that set its mounts and its image settings; nothing of them runs anything."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from embedded.engine.api import trees
from embedded.engine.api.context import Engine
from embedded.engine.api.owners import owner_ids
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import CacheVolume, Container, Directory, File, MountPoint, Named, Secret
from embedded.engine.errors import EngineError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def expanded(container: Container, text: str, expand: bool) -> str:
    """Replace `$NAME` and `${NAME}` by the container's environment; unknown names become nothing."""
    if not expand:
        return text
    return _VARIABLE.sub(lambda found: container.settings.env_value(found[1] or found[2]) or "", text)


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
        tree = trees.with_directory(Directory(), "/", tree, owner=await owner_ids(engine, self, owner))
    where = self.absolute(expanded(self, path, expand))
    return mounted(self, MountPoint(where, "directory", tree, read_only=read_only))


@resolver("Container", "withMountedFile")
async def with_mounted_file(
    self: Container, engine: Engine, path: str, source: str, owner: str = "", expand: bool = False
) -> Container:
    given = engine.load(source, File)
    if owner:
        given = trees.file_with(given, owner=await owner_ids(engine, self, owner))
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
    owner = await owner_ids(engine, self, owner or volume.owner)
    return mounted(self, MountPoint(where, "cache", seed, volume, sharing=sharing, owner=owner))


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
    owner = await owner_ids(engine, self, owner)
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
    # default arguments belong to the old entrypoint
    kept = self.settings.cmd if keep_default_args else ()
    return with_settings(self, entrypoint=tuple(args), cmd=kept)


@resolver("Container", "withoutEntrypoint")
async def without_entrypoint(self: Container, engine: Engine, keep_default_args: bool = False) -> Container:
    return await with_entrypoint(self, engine, [], keep_default_args)


@resolver("Container", "entrypoint")
async def entrypoint(self: Container, engine: Engine) -> list[str]:
    return list(self.settings.entrypoint)


@resolver("Container", "withDefaultArgs")
async def with_default_args(self: Container, engine: Engine, args: list[str]) -> Container:
    return with_settings(self, cmd=tuple(args))


@resolver("Container", "withoutDefaultArgs")
async def without_default_args(self: Container, engine: Engine) -> Container:
    return with_settings(self, cmd=())


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


@resolver("Container", "withDefaultTerminalCmd")
async def with_default_terminal_cmd(
    self: Container,
    engine: Engine,
    args: list[str],
    experimental_privileged_nesting: bool = False,
    insecure_root_capabilities: bool = False,
) -> Container:
    return self  # there are no terminals


@resolver("Container", "withError")
async def with_error(self: Container, engine: Engine, err: str) -> Container:
    if err:
        raise EngineError(err)
    return self
