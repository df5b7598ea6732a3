"""A loaded module within the API: its constructor, its functions and fields, as the schema's resolvers reach them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.engine.api.context import Engine
from embedded.engine.api.host import Host, file, uploaded
from embedded.engine.errors import EngineError
from embedded.engine.module.calls import Call, Runner
from embedded.engine.module.current import CurrentModule
from embedded.engine.module.sdl import qualified
from embedded.engine.module.source import ModuleSource
from embedded.engine.module.typedefs import ArgDef, FunctionDef, ModuleDef, TypeDef


@dataclass(frozen=True)
class ModuleObject:
    """An object of the module's own: its state is whatever its SDK made of it."""

    TYPE: str
    state: str
    """JSON."""


class BoundModule:
    """Resolves the fields of a module's types by running its functions."""

    def __init__(self, source: ModuleSource, module: ModuleDef, runner: Runner, copy: Path) -> None:
        self._source = source
        self.current = CurrentModule(source.name, copy / "source", copy / "work")
        self._runner = runner
        self._objects = {qualified(source, one.name): one for one in module.objects}
        self._enums = {one.name for one in module.enums}

    def owns(self, type_name: str, field: str) -> bool:
        return type_name in self._objects or (type_name == "Query" and field == self._source.constructor)

    async def resolve(self, source: Any, engine: Engine, type_name: str, field: str, given: dict[str, Any]) -> Any:
        if field == "id":
            return engine.id_of(source)
        if type_name == "Query":
            main = self._objects[self._source.main_object]
            made = main.constructor or FunctionDef("", TypeDef("OBJECT_KIND", main.name))
            call = Call(main.name, "", "null", await self._arguments(engine, made.args, given))
            return self._value(engine, await self._runner.run(call), TypeDef("OBJECT_KIND", main.name))
        one = self._objects[type_name]
        for attribute in one.fields:
            if attribute.name == field:
                return self._value(engine, json.loads(source.state).get(field), attribute.type)
        function = next(each for each in one.functions if each.name == field)
        call = Call(one.name, field, source.state, await self._arguments(engine, function.args, given))
        return self._value(engine, await self._runner.run(call), function.returns)

    async def _arguments(
        self, engine: Engine, args: Sequence[ArgDef], given: dict[str, Any]
    ) -> tuple[tuple[str, str], ...]:
        values = dict(given)
        for arg in args:
            if arg.default_path and values.get(arg.name) is None:
                values[arg.name] = await self._contextual(engine, arg)
            # Its SDK asks for each argument in two requests, and has the default of one that it does not get.
            if arg.name in values and values[arg.name] is None and arg.default == "null":
                del values[arg.name]
        return tuple((name, json.dumps(value)) for name, value in values.items())

    async def _contextual(self, engine: Engine, arg: ArgDef) -> str:
        """A directory or file by its default path."""
        path = self._default_path(arg)
        if arg.type.name == "Directory":
            return engine.id_of(await uploaded(engine, path, exclude=arg.ignore))
        if arg.type.name == "File":
            return engine.id_of(await file(Host(), engine, str(path)))
        raise EngineError(f"not supported by the embedded engine: a default path for a {arg.type.name} ({arg.name})")

    def _default_path(self, arg: ArgDef) -> Path:
        """Its place on the host, where it must exist: from the context if it starts with `/`, else from the module."""
        base = self._source.context if arg.default_path.startswith("/") else self._source.root
        path = (base / arg.default_path.lstrip("/")).resolve()
        if not path.is_relative_to(self._source.context):
            raise EngineError(f"the default path {arg.default_path} of {arg.name} leads out of {self._source.context}")
        if arg.type.name == "Directory" and not path.is_dir():
            raise EngineError(f"the default folder {arg.default_path} of {arg.name} does not exist: {path}")
        if arg.type.name == "File" and not path.is_file():
            raise EngineError(f"the default file {arg.default_path} of {arg.name} does not exist: {path}")
        return path

    def _value(self, engine: Engine, value: Any, kind: TypeDef) -> Any:
        """What a function returned (ids, states, plain values), as the value of its type."""
        if value is None:
            return None
        if kind.element is not None:
            element = kind.element
            return [self._value(engine, item, element) for item in value]
        if kind.kind not in ("OBJECT_KIND", "INTERFACE_KIND"):
            return value
        name = qualified(self._source, kind.name)
        if name in self._objects and isinstance(value, dict):
            return ModuleObject(name, json.dumps(value))
        return engine.load(value, object)
