"""`currentModule`: a function's view of the module that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from embedded.engine.api.context import Engine
from embedded.engine.api.host import Host, file, uploaded
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Directory, File
from embedded.engine.errors import EngineError


@dataclass(frozen=True)
class CurrentModule:
    """A module's name, its copy, and the working folder of its functions."""

    TYPE: ClassVar[str] = "CurrentModule"
    name: str
    source: Path
    workdir: Path


@resolver("Query", "currentModule")
async def current_module(_: object, engine: Engine) -> CurrentModule:
    if engine.module is None:
        raise EngineError("no module is loaded")
    return engine.module.current


@resolver("CurrentModule", "name")
async def name(self: CurrentModule, engine: Engine) -> str:
    return self.name


@resolver("CurrentModule", "source")
async def source(self: CurrentModule, engine: Engine) -> Directory:
    # bytecode comes and goes with every process; it is not the module's source
    return await uploaded(engine, self.source, exclude=["**/__pycache__"])


@resolver("CurrentModule", "workdir")
async def workdir(
    self: CurrentModule,
    engine: Engine,
    path: str,
    exclude: list[str],
    include: list[str],
    gitignore: bool = False,
) -> Directory:
    return await uploaded(engine, _inside(self, path), include=include, exclude=exclude, no_cache=True)


@resolver("CurrentModule", "workdirFile")
async def workdir_file(self: CurrentModule, engine: Engine, path: str) -> File:
    return await file(Host(), engine, str(_inside(self, path)), no_cache=True)


def _inside(self: CurrentModule, path: str) -> Path:
    full = (self.workdir / path).resolve()
    if not full.is_relative_to(self.workdir.resolve()):
        raise EngineError(f"{path} leads out of the function's working folder")
    return full
