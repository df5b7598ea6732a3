"""A module's types in GraphQL's schema language, with Dagger's directives, as they are merged into the API."""

from __future__ import annotations

import json
from typing import Any, cast

from graphql import print_ast
from graphql.language import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    IntValueNode,
    ListValueNode,
    NameNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    StringValueNode,
)

from embedded.engine.module.source import ModuleSource
from embedded.engine.module.typedefs import PRIMITIVES, ArgDef, FunctionDef, ModuleDef, TypeDef


def qualified(source: ModuleSource, name: str) -> str:
    """The API's name of a module's own type: `Child` of `probe` is `ProbeChild`, its main object `Probe`."""
    main = source.main_object
    return name if name.lower() == main.lower() or name.startswith(main) else main + name


class Printer:
    """Prints one module's types; names that the module does not define are the API's own."""

    def __init__(self, source: ModuleSource, module: ModuleDef) -> None:
        self._source = source
        self._module = module
        self._own = {one.name for one in (*module.objects, *module.enums)}
        self._enums = {one.name for one in module.enums}

    def document(self) -> str:
        parts = [self._root()]
        parts += [self._object(one) for one in self._module.objects]
        parts += [self._enum(one) for one in self._module.enums]
        return "\n\n".join(parts) + "\n"

    def _root(self) -> str:
        main = next(one for one in self._module.objects if one.name == self._source.main_object)
        made = main.constructor or FunctionDef("", TypeDef("OBJECT_KIND", main.name))
        text = made.description or main.description or self._module.description
        field = f"{_text(text)}{self._source.constructor}{self._args(made.args)}: {main.name}!"
        return f"extend type Query {{\n{field}\n}}"

    def _object(self, one: TypeDef) -> str:
        lines = ["id: ID!"]
        lines += [f"{_text(f.description)}{f.name}: {self._output(f.type)}" for f in one.fields]
        lines += [
            f"{_text(f.description)}{f.name}{self._args(f.args)}: {self._output(f.returns)}{' @check' * f.check}"
            for f in one.functions
        ]
        name = qualified(self._source, one.name)
        return f"{_text(one.description)}type {name} implements Node {{\n" + "\n".join(lines) + "\n}"

    def _enum(self, one: TypeDef) -> str:
        members = "\n".join(f"{_text(member.description)}{member.name}" for member in one.members)
        return f"{_text(one.description)}enum {qualified(self._source, one.name)} {{\n{members}\n}}"

    def _args(self, args: tuple[ArgDef, ...]) -> str:
        return "(" + "\n".join(self._arg(arg) for arg in args) + ")" if args else ""

    def _arg(self, arg: ArgDef) -> str:
        kind, expected = self._input(arg.type)
        filled = arg.default is not None or arg.default_path or arg.default_address
        text = f"{_text(arg.description)}{arg.name}: {kind}{'' if arg.type.optional or filled else '!'}"
        if arg.default is not None:
            text += " = " + print_ast(self._value(json.loads(arg.default), arg.type))
        if expected:
            text += f" @expectedType(name: {json.dumps(expected)})"
        if arg.default_path:
            text += f" @defaultPath(path: {json.dumps(arg.default_path)})"
        if arg.default_address:
            text += f" @defaultAddress(address: {json.dumps(arg.default_address)})"
        if arg.ignore:
            text += f" @ignorePatterns(patterns: {json.dumps(arg.ignore)})"
        return text

    def _named(self, kind: TypeDef) -> str:
        if kind.kind in PRIMITIVES:
            return PRIMITIVES[kind.kind]
        return qualified(self._source, kind.name) if kind.name in self._own else kind.name

    def _output(self, kind: TypeDef) -> str:
        text = f"[{self._output(kind.element)}]" if kind.element is not None else self._named(kind)
        return text if kind.optional or kind.kind == "VOID_KIND" else text + "!"

    def _input(self, kind: TypeDef) -> tuple[str, str]:
        """The type of an argument, and the object's name where it is an id."""
        if kind.element is not None:
            inner, expected = self._input(kind.element)
            return f"[{inner}!]", expected
        if kind.kind in ("OBJECT_KIND", "INTERFACE_KIND"):
            return "ID", self._named(kind)
        return self._named(kind), ""

    def _value(self, value: Any, kind: TypeDef | None) -> Any:
        if value is None:
            return NullValueNode()
        if isinstance(value, bool):
            return BooleanValueNode(value=value)
        if isinstance(value, int):
            return IntValueNode(value=str(value))
        if isinstance(value, float):
            return FloatValueNode(value=repr(value))
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return ListValueNode(values=tuple(self._value(item, kind.element if kind else None) for item in items))
        if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value)
            return ObjectValueNode(
                fields=tuple(
                    ObjectFieldNode(name=NameNode(value=key), value=self._value(item, None))
                    for key, item in pairs.items()
                )
            )
        if kind and kind.kind == "ENUM_KIND":
            return EnumValueNode(value=value)
        return StringValueNode(value=str(value))


def _text(description: str) -> str:
    return json.dumps(description) + "\n" if description else ""
