"""Loading a module: its copy, its environment, and its types, which are kept beside the copy once registered."""

from __future__ import annotations

import contextlib
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

from embedded.engine.api.context import Engine
from embedded.engine.errors import EngineError
from embedded.engine.module.bound import BoundModule
from embedded.engine.module.calls import Call, Runner
from embedded.engine.module.sdl import Printer
from embedded.engine.module.source import ModuleSource
from embedded.engine.module.typedefs import ModuleDef

REVISION = 1
"""Raised when what is kept of a module's types changes its form."""


@dataclass(frozen=True)
class LoadedModule:
    source: ModuleSource
    sdl: str
    bound: BoundModule


def known_types(copy: Path) -> ModuleDef | None:
    """The module's types as they were registered before, if they were."""
    with contextlib.suppress(OSError, pickle.PickleError, AttributeError, EOFError):
        return pickle.loads(_types_file(copy).read_bytes())  # noqa: S301  of our own, below our cache folder
    return None


def _types_file(copy: Path) -> Path:
    return copy / f"types-{REVISION}.pickle"


async def load(engine: Engine, source: ModuleSource, copy: Path, runner: Runner) -> LoadedModule:
    """Have the module register its types, unless that is known, and make them part of the API."""
    types = known_types(copy)
    if types is None:
        types = engine.load(await runner.run(Call()), ModuleDef)
        if all(one.name != source.main_object for one in types.objects):
            raise EngineError(f"the module {source.name} has no main object {source.main_object}")
        part = copy / f"types.{os.getpid()}.part"
        part.write_bytes(pickle.dumps(types))
        part.replace(_types_file(copy))
    return LoadedModule(source, Printer(source, types).document(), BoundModule(source, types, runner, copy))
