"""The caller's machine: folders and files that are uploaded, and addresses that stand for any of the objects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from embedded.engine import llb
from embedded.engine.api import trees
from embedded.engine.api.context import Engine
from embedded.engine.api.hostpaths import kind_at
from embedded.engine.api.registry import RESOLVERS, resolver
from embedded.engine.api.values import CacheVolume, Directory, File, Secret
from embedded.engine.errors import EngineError, UnsupportedError

# any URL of git's schemes, whatever it ends in, and user@host:path
_GIT = re.compile(r"(?i:git|ssh|https?)://|[\w-]+@[\w.-]+:")


@dataclass(frozen=True)
class Host:
    TYPE: ClassVar[str] = "Host"


@dataclass(frozen=True)
class Address:
    TYPE: ClassVar[str] = "Address"
    value: str


@resolver("Query", "host")
async def host(_: object, engine: Engine) -> Host:
    return Host()


async def uploaded(
    engine: Engine, path: Path, *, include: Sequence[str] = (), exclude: Sequence[str] = (), no_cache: bool = False
) -> Directory:
    """A folder of the host as a tree. The copy behind the upload is keyed by content, so equal content is a hit."""
    patterns = json.dumps([list(include), list(exclude)])
    name = hashlib.sha256(f"{path}\0{patterns}".encode()).hexdigest()[:24]
    if no_cache:
        name += f"-{len(engine.offered)}"
    if name not in engine.offered:
        engine.offered.add(name)
        await engine.attachables.offer_folder(name, path)
    attrs = {"local.sharedkeyhint": f"{path}\0{patterns}"}
    if include:
        attrs["local.includepattern"] = json.dumps(list(include))
    if exclude:
        attrs["local.excludepatterns"] = json.dumps(list(exclude))
    source = llb.source(f"local://{name}", attrs, name=f"upload {path}")
    return Directory(llb.file_op(llb.SCRATCH, [trees.copy(Directory(source), "/")], f"copy upload {path.name}"))


def host_folder(engine: Engine, path: str) -> Path:
    full = engine.workdir / Path(path).expanduser()
    if not full.is_dir():
        raise EngineError(
            f"the folder {path} does not exist: lstat {full}: no such file or directory"
            if not full.exists()
            else f"{path} is a {kind_at(full)}, not a folder"
        )
    return full.resolve()


def host_file(engine: Engine, path: str) -> Path:
    full = engine.workdir / Path(path).expanduser()
    if not full.is_file():
        raise EngineError(
            f"stat {path}: no such file or directory"
            if not full.exists()
            else f"{path} is a {kind_at(full)}, not a file"
        )
    return full.resolve()


@resolver("Host", "directory")
async def directory(
    self: Host,
    engine: Engine,
    path: str,
    exclude: list[str],
    include: list[str],
    no_cache: bool = False,
    gitignore: bool = False,
) -> Directory:
    if engine.lab is not None:
        await engine.lab.prepare_folder(engine.workdir / path)
    folder = host_folder(engine, path)
    if gitignore:
        raise UnsupportedError("the argument gitignore (name the patterns in exclude)")
    return await uploaded(engine, folder, include=include, exclude=exclude, no_cache=no_cache)


@resolver("Host", "file")
async def file(self: Host, engine: Engine, path: str, no_cache: bool = False) -> File:
    full = host_file(engine, path)
    pattern = re.sub(r"([\\*?\[\]!])", r"\\\1", full.name)
    folder = await uploaded(engine, full.parent, include=[pattern], no_cache=no_cache)
    return File(folder.tree, "/" + full.name)


@resolver("Host", "findUp")
async def find_up(self: Host, engine: Engine, name: str, no_cache: bool = False) -> str | None:
    for folder in (engine.workdir, *engine.workdir.parents):
        if (folder / name).exists():
            return str(folder / name)
    return None


# --- addresses --------------------------------------------------------------------------------------------------


@resolver("Query", "address")
async def address(_: object, engine: Engine, value: str) -> Address:
    return Address(value)


@resolver("Address", "value")
async def value(self: Address, engine: Engine) -> str:
    return self.value


def is_git(text: str) -> bool:
    return bool(_GIT.match(text))


@resolver("Address", "directory")
async def address_directory(
    self: Address,
    engine: Engine,
    exclude: list[str],
    include: list[str],
    gitignore: bool = False,
    no_cache: bool = False,
) -> Directory:
    if is_git(self.value):
        tree, path = await _git_tree(engine, self.value)
        tree = Directory(tree.tree, path)
        filtered = include or exclude
        return trees.with_directory(Directory(), "/", tree, include=include, exclude=exclude) if filtered else tree
    return await directory(Host(), engine, self.value.removeprefix("file://"), exclude, include, no_cache, gitignore)


async def _git_ref(engine: Engine, url: str, ref: str):
    repository = await RESOLVERS["Query", "git"](None, engine, url=url)
    if not ref:
        return await RESOLVERS["GitRepository", "head"](repository, engine)
    return await RESOLVERS["GitRepository", "ref"](repository, engine, name=ref)


async def _git_tree(engine: Engine, text: str) -> tuple[Directory, str]:
    """The tree of `URL#REF:PATH`, and the path's place in it."""
    url, _, fragment = text.partition("#")
    ref, _, path = fragment.partition(":")
    tree: Directory = await RESOLVERS["GitRef", "tree"](await _git_ref(engine, url, ref), engine)
    return tree, tree.at(path)


@resolver("Address", "file")
async def address_file(
    self: Address,
    engine: Engine,
    exclude: list[str],
    include: list[str],
    gitignore: bool = False,
    no_cache: bool = False,
) -> File:
    if is_git(self.value):
        tree, path = await _git_tree(engine, self.value)
        return File(tree.tree, path)
    return await file(Host(), engine, self.value.removeprefix("file://"), no_cache)


@resolver("Address", "secret")
async def address_secret(self: Address, engine: Engine) -> Secret:
    text = self.value if ":" in self.value else f"env://{self.value}"
    return await RESOLVERS["Query", "secret"](None, engine, uri=text)


@resolver("Address", "container")
async def address_container(self: Address, engine: Engine):
    empty = await RESOLVERS["Query", "container"](None, engine)
    return await RESOLVERS["Container", "from"](empty, engine, address=self.value)


@resolver("Address", "gitRepository")
async def address_git_repository(self: Address, engine: Engine):
    return await RESOLVERS["Query", "git"](None, engine, url=self.value.partition("#")[0])


@resolver("Address", "gitRef")
async def address_git_ref(self: Address, engine: Engine):
    url, _, ref = self.value.partition("#")
    return await _git_ref(engine, url, ref)


@resolver("Query", "cacheVolume")
async def cache_volume(
    _: object,
    engine: Engine,
    key: str,
    source: str | None = None,
    sharing: str = "SHARED",
    owner: str = "",
) -> CacheVolume:
    return CacheVolume(key, engine.load(source, Directory) if source else None, sharing, owner)
