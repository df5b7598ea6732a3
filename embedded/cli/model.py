"""The module and the API as the command line sees them: functions, arguments and types, read from a GraphQL schema.

What GraphQL itself can't say stands in Dagger's directives on the schema's nodes: `@expectedType` (an ID is that of
a Directory), `@defaultPath`, `@ignorePatterns`, `@check`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from graphql import (
    ConstDirectiveNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    Undefined,
    value_from_ast_untyped,
)

from embedded.cli.core_texts import CORE_TEXTS
from embedded.cli.names import kebab

if TYPE_CHECKING:
    from collections.abc import Iterable

# Dagger's command line hides what only an SDK can use.
_HIDDEN = {
    "Query": frozenset(
        {"generatedCode", "currentFunctionCall", "currentModule", "typeDef", "sourceMap", "function", "cacheVolume"}
        | {"setSecret", "with", "node"}
    ),
    "Module": frozenset({"withDescription", "withObject", "withInterface", "withEnum"}),
}
_HIDDEN_TYPES = frozenset({"TypeDef", "Function"})


class Kind(Enum):
    """What a value is on the command line."""

    STRING = "String"
    INT = "Int"
    FLOAT = "Float"
    BOOL = "Boolean"
    VOID = "Void"
    SCALAR = "scalar"
    ENUM = "enum"
    INPUT = "input"
    OBJECT = "object"
    LIST = "list"


@dataclass(frozen=True)
class TypeView:
    """A type of an argument or a result; an ID with `@expectedType` is the object that it names."""

    kind: Kind
    name: str
    element: TypeView | None = None
    members: tuple[str, ...] = ()

    @property
    def object_name(self) -> str:
        """Name of the object that a chain can go on from: of the elements for a list, else empty."""
        inner = self.element or self
        return inner.name if inner.kind is Kind.OBJECT else ""


@dataclass(frozen=True)
class Argument:
    """An argument of a function; `graphql_type` is its type as a variable's declaration spells it."""

    name: str
    flag: str
    description: str
    type: TypeView
    graphql_type: str
    required: bool
    default: Any
    default_path: str
    ignore: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A field of an object, with the name that the command line gives it; `owner` is that object's name."""

    name: str
    command: str
    owner: str
    field: GraphQLField

    @property
    def description(self) -> str:
        """The documentation, as its author wrote it."""
        return self.field.description or ""

    @property
    def short(self) -> str:
        """The description's first line; of a core type's function a text of this engine's own."""
        return self.description.partition("\n")[0] or CORE_TEXTS.get((self.owner, self.command), "-")

    @cached_property
    def type(self) -> TypeView:
        """What it gives."""
        return _type_view(_type_of(self.field), _expected(self.field))

    @cached_property
    def gives_itself(self) -> bool:
        """Whether it evaluates its object and gives that again: `sync`, whose answer is the object's id."""
        return self.type.object_name == self.owner and str(_type_of(self.field)).rstrip("!") == "ID"

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """What it takes, in the order of the schema."""
        return tuple(_argument(name, arg) for name, arg in self.field.args.items())

    @property
    def is_check(self) -> bool:
        """Whether `dagger check` runs it."""
        return "check" in _directives(self.field)


class Model:
    """What can be called, starting from the constructor `main` of the module or, without one, from the core API."""

    def __init__(self, schema: GraphQLSchema, main: str = "") -> None:
        self._schema = schema
        self.main = main

    @cached_property
    def constructor(self) -> Function | None:
        """The Query field that makes the module's main object."""
        return self._function("Query", self.main) if self.main else None

    @property
    def root(self) -> str:
        """Name of the type whose functions come first."""
        return self.constructor.type.object_name if self.constructor else "Query"

    @property
    def description(self) -> str:
        """What the module says of itself."""
        found = self._schema.get_type(self.root)
        return (found.description if found and self.main else "") or ""

    def functions(self, owner: str) -> list[Function]:
        """List an object's functions, sorted by command; those of the SDKs' own are left out."""
        hidden = _HIDDEN.get(owner, frozenset[str]())
        fields = () if owner in _HIDDEN_TYPES else self._fields(owner)
        names = [name for name in fields if name != "id" and name not in hidden and not name.startswith("_")]
        if owner == "Query":
            names = [name for name in names if name != self.main]
        return sorted((self._function(owner, name) for name in names), key=lambda function: function.command)

    def find(self, owner: str, command: str) -> Function | None:
        """Look up a function by its command or API name."""
        return next((f for f in self.functions(owner) if command in (f.command, f.name)), None)

    def field(self, owner: str, name: str) -> Function | None:
        """Look up a field by its API name, hidden or not."""
        return self._function(owner, name) if name in self._fields(owner) else None

    def is_module_type(self, name: str) -> bool:
        """Tell whether a type is the module's own: those are named after its main object."""
        return bool(self.main) and name.startswith(self.root)

    def _fields(self, owner: str) -> dict[str, GraphQLField]:
        found = self._schema.get_type(owner)
        return found.fields if isinstance(found, GraphQLObjectType | GraphQLInterfaceType) else {}

    def _function(self, owner: str, name: str) -> Function:
        return Function(name, kebab(name), owner, self._fields(owner)[name])


def _directives(element: GraphQLField | GraphQLArgument) -> dict[str, dict[str, Any]]:
    nodes: Iterable[ConstDirectiveNode] = element.ast_node.directives or () if element.ast_node else ()
    return {
        node.name.value: {arg.name.value: value_from_ast_untyped(arg.value) for arg in node.arguments or ()}
        for node in nodes
    }


def _expected(element: GraphQLField | GraphQLArgument) -> str:
    return _directives(element).get("expectedType", {}).get("name", "")


def _argument(name: str, arg: GraphQLArgument) -> Argument:
    directives = _directives(arg)
    default_path: str = directives.get("defaultPath", {}).get("path", "")
    given = _type_of(arg)
    has_default = arg.default is not None or arg.default_value is not Undefined
    return Argument(
        name=name,
        flag=kebab(name),
        description=arg.description or "",
        type=_type_view(given, _expected(arg)),
        graphql_type=str(given),
        required=isinstance(given, GraphQLNonNull) and not has_default and not default_path,
        default=_default(arg),
        default_path=default_path,
        ignore=tuple(directives.get("ignorePatterns", {}).get("patterns", ())),
    )


def _type_of(element: GraphQLField | GraphQLArgument) -> GraphQLType:
    return cast("Any", element).type


def _default(arg: GraphQLArgument) -> Any:
    if arg.default is None:
        return None if arg.default_value is Undefined else arg.default_value
    return arg.default.value if arg.default.literal is None else value_from_ast_untyped(arg.default.literal)


def _type_view(given: GraphQLType, expected: str) -> TypeView:
    # graphql-core's wrapping types don't say what they wrap to the type checker.
    if isinstance(given, GraphQLNonNull):
        return _type_view(cast("GraphQLNonNull[Any]", given).of_type, expected)
    if isinstance(given, GraphQLList):
        element = _type_view(cast("GraphQLList[Any]", given).of_type, expected)
        return TypeView(Kind.LIST, f"[]{element.name}", element=element)
    name: str = getattr(given, "name", "")
    if expected:
        return TypeView(Kind.OBJECT, expected)
    if isinstance(given, GraphQLEnumType):
        return TypeView(Kind.ENUM, name, members=tuple(sorted(given.values)))
    if isinstance(given, GraphQLInputObjectType):
        return TypeView(Kind.INPUT, name)
    if isinstance(given, GraphQLObjectType | GraphQLInterfaceType):
        return TypeView(Kind.OBJECT, name)
    named = {kind.value: kind for kind in (Kind.STRING, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.VOID)}
    return TypeView(named.get(name, Kind.SCALAR), name)
