"""The types that a module registers: what its SDK tells through `typeDef`, `function` and `module`, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from embedded.engine.api.context import Engine
from embedded.engine.api.registry import resolver

PRIMITIVES = {
    "STRING_KIND": "String",
    "INTEGER_KIND": "Int",
    "FLOAT_KIND": "Float",
    "BOOLEAN_KIND": "Boolean",
    "VOID_KIND": "Void",
}


@dataclass(frozen=True)
class EnumMember:
    name: str
    value: str
    description: str = ""


@dataclass(frozen=True)
class FieldDef:
    name: str
    type: TypeDef
    description: str = ""


@dataclass(frozen=True)
class ArgDef:
    name: str
    type: TypeDef
    description: str = ""
    default: str | None = None
    """JSON."""
    default_path: str = ""
    default_address: str = ""
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionDef:
    TYPE: ClassVar[str] = "Function"
    name: str
    returns: TypeDef
    description: str = ""
    args: tuple[ArgDef, ...] = ()
    check: bool = False


@dataclass(frozen=True)
class TypeDef:
    """A type, or a use of one. `kind` is a TypeDefKind; named kinds have a `name`, lists an `element`."""

    TYPE: ClassVar[str] = "TypeDef"
    kind: str = ""
    name: str = ""
    optional: bool = False
    element: TypeDef | None = None
    description: str = ""
    fields: tuple[FieldDef, ...] = ()
    functions: tuple[FunctionDef, ...] = ()
    constructor: FunctionDef | None = None
    members: tuple[EnumMember, ...] = ()


@dataclass(frozen=True)
class ModuleDef:
    TYPE: ClassVar[str] = "Module"
    description: str = ""
    objects: tuple[TypeDef, ...] = ()
    enums: tuple[TypeDef, ...] = ()


# --- the resolvers by which the SDK builds them --------------------------------------------------------------------


@resolver("Query", "typeDef")
async def type_def(_: object, engine: Engine) -> TypeDef:
    return TypeDef()


@resolver("Query", "module")
async def module(_: object, engine: Engine) -> ModuleDef:
    return ModuleDef()


@resolver("Query", "function")
async def function(_: object, engine: Engine, name: str, return_type: str) -> FunctionDef:
    return FunctionDef(name, engine.load(return_type, TypeDef))


@resolver("Query", "sourceMap")
async def source_map(_: object, engine: Engine, **where: Any) -> TypeDef:
    return TypeDef()


def _setter(type_name: str, field: str, change: Callable[..., Any]) -> None:
    async def answer(self: Any, engine: Engine, **arguments: Any) -> Any:
        return change(self, engine, **arguments)

    resolver(type_name, field)(answer)


def _named(kind: str) -> Callable[..., TypeDef]:
    def change(self: TypeDef, engine: Engine, name: str, description: str = "", **_: Any) -> TypeDef:
        return replace(self, kind=kind, name=name, description=description)

    return change


def _with_field(self: TypeDef, engine: Engine, name: str, type_def: str, description: str = "", **_: Any) -> TypeDef:
    return replace(self, fields=(*self.fields, FieldDef(name, engine.load(type_def, TypeDef), description)))


def _with_member(self: TypeDef, engine: Engine, name: str, value: str = "", description: str = "", **_: Any) -> TypeDef:
    return replace(self, members=(*self.members, EnumMember(name, value or name, description)))


def _with_arg(
    self: FunctionDef,
    engine: Engine,
    name: str,
    type_def: str,
    description: str = "",
    default_value: str | None = None,
    default_path: str = "",
    ignore: list[str] | None = None,
    default_address: str = "",
    **_: Any,
) -> FunctionDef:
    arg = ArgDef(
        name,
        engine.load(type_def, TypeDef),
        description,
        default_value,
        default_path,
        default_address,
        tuple(ignore or ()),
    )
    return replace(self, args=(*self.args, arg))


for _field, _change in {
    "withKind": lambda self, engine, kind: replace(self, kind=kind if kind.endswith("_KIND") else kind + "_KIND"),
    "withOptional": lambda self, engine, optional: replace(self, optional=optional),
    "withListOf": lambda self, engine, element_type: replace(
        self, kind="LIST_KIND", element=engine.load(element_type, TypeDef)
    ),
    "withObject": _named("OBJECT_KIND"),
    "withInterface": _named("INTERFACE_KIND"),
    "withScalar": _named("SCALAR_KIND"),
    "withEnum": _named("ENUM_KIND"),
    "withEnumMember": _with_member,
    "withField": _with_field,
    "withFunction": lambda self, engine, function: replace(
        self, functions=(*self.functions, engine.load(function, FunctionDef))
    ),
    "withConstructor": lambda self, engine, function: replace(self, constructor=engine.load(function, FunctionDef)),
}.items():
    _setter("TypeDef", _field, _change)

for _field, _change in {
    "withDescription": lambda self, engine, description: replace(self, description=description),
    "withArg": _with_arg,
    "withCheck": lambda self, engine: replace(self, check=True),
    # what these say does not change how a function is called here: results of functions are not cached
    "withCachePolicy": lambda self, engine, **_: self,
    "withDeprecated": lambda self, engine, **_: self,
    "withSourceMap": lambda self, engine, **_: self,
    "withGenerator": lambda self, engine: self,
    "withUp": lambda self, engine: self,
}.items():
    _setter("Function", _field, _change)

for _field, _change in {
    "withDescription": lambda self, engine, description: replace(self, description=description),
    "withObject": lambda self, engine, object: replace(self, objects=(*self.objects, engine.load(object, TypeDef))),
    "withEnum": lambda self, engine, enum: replace(self, enums=(*self.enums, engine.load(enum, TypeDef))),
}.items():
    _setter("Module", _field, _change)
