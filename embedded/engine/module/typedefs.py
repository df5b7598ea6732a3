"""The types that a module registers: what its SDK tells through `typeDef`, `function` and `module`, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from embedded.engine.api.context import Engine
from embedded.engine.api.registry import Resolver, resolver

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


def _named(kind: str) -> Resolver:
    async def answer(self: TypeDef, engine: Engine, name: str, description: str = "", **_: Any) -> TypeDef:
        return replace(self, kind=kind, name=name, description=description)

    return answer


for _field, _kind in {
    "withObject": "OBJECT_KIND",
    "withInterface": "INTERFACE_KIND",
    "withScalar": "SCALAR_KIND",
    "withEnum": "ENUM_KIND",
}.items():
    resolver("TypeDef", _field)(_named(_kind))


@resolver("TypeDef", "withKind")
async def with_kind(self: TypeDef, engine: Engine, kind: str) -> TypeDef:
    return replace(self, kind=kind if kind.endswith("_KIND") else kind + "_KIND")


@resolver("TypeDef", "withOptional")
async def with_optional(self: TypeDef, engine: Engine, optional: bool) -> TypeDef:
    return replace(self, optional=optional)


@resolver("TypeDef", "withListOf")
async def with_list_of(self: TypeDef, engine: Engine, element_type: str) -> TypeDef:
    return replace(self, kind="LIST_KIND", element=engine.load(element_type, TypeDef))


@resolver("TypeDef", "withField")
async def with_field(
    self: TypeDef, engine: Engine, name: str, type_def: str, description: str = "", **_: Any
) -> TypeDef:
    return replace(self, fields=(*self.fields, FieldDef(name, engine.load(type_def, TypeDef), description)))


@resolver("TypeDef", "withEnumMember")
async def with_enum_member(
    self: TypeDef, engine: Engine, name: str, value: str = "", description: str = "", **_: Any
) -> TypeDef:
    return replace(self, members=(*self.members, EnumMember(name, value or name, description)))


@resolver("TypeDef", "withFunction")
async def with_function(self: TypeDef, engine: Engine, function: str) -> TypeDef:
    return replace(self, functions=(*self.functions, engine.load(function, FunctionDef)))


@resolver("TypeDef", "withConstructor")
async def with_constructor(self: TypeDef, engine: Engine, function: str) -> TypeDef:
    return replace(self, constructor=engine.load(function, FunctionDef))


@resolver("Function", "withDescription")
async def function_with_description(self: FunctionDef, engine: Engine, description: str) -> FunctionDef:
    return replace(self, description=description)


@resolver("Function", "withArg")
async def with_arg(
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


@resolver("Function", "withCheck")
async def with_check(self: FunctionDef, engine: Engine) -> FunctionDef:
    return replace(self, check=True)


@resolver("Function", "withCachePolicy", "withDeprecated", "withSourceMap", "withGenerator", "withUp")
async def unchanged(self: FunctionDef, engine: Engine, **_: Any) -> FunctionDef:
    """What these say does not change how a function is called here: results of functions are not cached."""
    return self


@resolver("Module", "withDescription")
async def module_with_description(self: ModuleDef, engine: Engine, description: str) -> ModuleDef:
    return replace(self, description=description)


@resolver("Module", "withObject")
async def with_object(self: ModuleDef, engine: Engine, object: str) -> ModuleDef:
    return replace(self, objects=(*self.objects, engine.load(object, TypeDef)))


@resolver("Module", "withEnum")
async def with_enum(self: ModuleDef, engine: Engine, enum: str) -> ModuleDef:
    return replace(self, enums=(*self.enums, engine.load(enum, TypeDef)))
