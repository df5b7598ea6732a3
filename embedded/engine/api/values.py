"""The objects of Dagger's API as immutable values over BuildKit trees. `TYPE` is their name in the schema."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from embedded.engine import llb


def inside(base: str, path: str) -> str:
    """Join a path below a base so that it can't leave it: `..` stops at the base, absolute paths are inside."""
    return posixpath.join(base, posixpath.normpath("/" + path).lstrip("/")).rstrip("/") or "/"


@dataclass(frozen=True)
class Directory:
    """A folder of a tree."""

    TYPE: ClassVar[str] = "Directory"
    tree: llb.Output = llb.SCRATCH
    path: str = "/"

    def at(self, path: str) -> str:
        return inside(self.path, path)

    @property
    def is_empty(self) -> bool:
        return self.tree is llb.SCRATCH and self.path == "/"


@dataclass(frozen=True)
class File:
    """A file of a tree; its path is absolute there."""

    TYPE: ClassVar[str] = "File"
    tree: llb.Output
    path: str

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)


@dataclass(frozen=True)
class Secret:
    """A secret by the id under which the session answers for it. Its text lives in the session only."""

    TYPE: ClassVar[str] = "Secret"
    secret_id: str
    name: str = ""
    uri: str = ""


@dataclass(frozen=True)
class CacheVolume:
    TYPE: ClassVar[str] = "CacheVolume"
    key: str
    source: Directory | None = None
    sharing: str = "SHARED"
    owner: str = ""


@dataclass(frozen=True)
class MountPoint:
    """A mount of a container. `kind`: directory, file, cache, secret, temp."""

    path: str
    kind: str
    source: Directory | File | None = None
    cache: CacheVolume | None = None
    secret: Secret | None = None
    sharing: str = "SHARED"
    owner: str = ""
    mode: int = 0o400
    size: int = 0
    read_only: bool = False


@dataclass(frozen=True)
class ImageSettings:
    """The part of an OCI image config that describes how to run it; `other` keeps what is not spoken of here."""

    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, str], ...] = ()
    other: tuple[tuple[str, Any], ...] = field(default=(), hash=False)

    def env_value(self, name: str) -> str | None:
        return dict(self.env).get(name)

    def with_env(self, name: str, value: str) -> ImageSettings:
        kept = dict(self.env)
        kept[name] = value
        return replace(self, env=tuple(kept.items()))


@dataclass(frozen=True)
class LastExec:
    """The exec that a container's `stdout`, `stderr` and `exitCode` speak of."""

    output: llb.Output


@dataclass(frozen=True)
class Container:
    TYPE: ClassVar[str] = "Container"
    platform: str
    root: llb.Output = llb.SCRATCH
    settings: ImageSettings = ImageSettings()
    mounts: tuple[MountPoint, ...] = ()
    secret_env: tuple[tuple[str, Secret], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    image_ref: str = ""
    last: LastExec | None = None

    def absolute(self, path: str) -> str:
        """A path in the container: relative ones start at its working folder."""
        return posixpath.normpath(posixpath.join("/", self.settings.workdir, path))


@dataclass(frozen=True)
class Named:
    """A small answer of fields only: Label, EnvVariable, Stat and the like."""

    TYPE: str
    fields: tuple[tuple[str, Any], ...]
