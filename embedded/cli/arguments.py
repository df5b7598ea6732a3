"""A function's arguments as flags, and the flags' texts as values of the API.

An object (Directory, Secret, ...) is given as an address; the session turns it into an id. What no flag can carry is
unsupported: an optional argument of that kind is left out, a function that requires one is hidden.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, cast

from embedded.cli.errors import UsageError
from embedded.cli.flags import Flag, FlagSet
from embedded.cli.model import Argument, Function, Kind, TypeView
from embedded.cli.values import (
    Value,
    graphql_int,
    many,
    parse_bool,
    parse_build_arg,
    parse_enum,
    parse_float,
    parse_int,
    parse_list_int,
    parse_name,
    parse_platform,
    parse_port_forward,
    scalar,
    split_commas,
    split_csv,
    split_unquoted,
)
from embedded.engine.errors import EngineError

if TYPE_CHECKING:
    from embedded.cli.protocol import Session

# How an object's id is asked for. A wrong address of the first three is a mistake on the command line; the
# others are looked up when they are used, so their errors come from the run.
_LOOKUPS = {
    "Directory": "address(value: $text) { directory(exclude: $exclude) { id } }",
    "File": "address(value: $text) { file { id } }",
    "Container": "address(value: $text) { container { id } }",
    "Secret": "address(value: $text) { secret { id } }",
    "Service": "address(value: $text) { service { id } }",
    "Socket": "address(value: $text) { socket { id } }",
    "GitRepository": "address(value: $text) { gitRepository { id } }",
    "GitRef": "address(value: $text) { gitRef { id } }",
    "CacheVolume": "cacheVolume(key: $text) { id }",
    "ModuleSource": "moduleSource(refString: $text) { id }",
    "Module": "moduleSource(refString: $text) { asModule { id } }",
}
_WRONG_ADDRESS_IS_USAGE = frozenset({"Directory", "File", "Container", "Module", "ModuleSource"})
# The engine's schema is Dagger's without its texts. What writes to the caller's disk has to say what it does there.
_EXPORTED = frozenset({"Changeset", "Container", "Directory", "File"})
_EXPORT_USAGE = {
    "path": "Where to write it on this machine, from the working folder on",
    "wipe": "Delete what else lies in that folder: left out, it stays beside what is written",
    "allowParentDirPath": "Where --path is a folder, write the file into it under its own name",
}
_INPUTS = {"BuildArg": parse_build_arg, "PortForward": parse_port_forward}


def supported(function: Function) -> bool:
    """Tell whether every required argument can be given as a flag."""
    return all(_value(arg) is not None for arg in function.arguments if arg.required)


def argument_flags(function: Function) -> FlagSet:
    """Make the flags of a function's own arguments."""
    flags = FlagSet()
    for arg in function.arguments:
        value = _value(arg)
        if value is not None:
            usage = arg.description or _usage(function, arg)
            flags.add(Flag(arg.flag, value, usage, default=_shown_default(arg), required=arg.required))
    return flags


def unsupported_arguments(function: Function) -> list[str]:
    """Name the arguments that no flag can carry."""
    return [arg.flag for arg in function.arguments if _value(arg) is None]


async def argument_values(session: Session, function: Function, flags: FlagSet, command: str) -> dict[str, Any]:
    """Give the values of the arguments that were set, by API name; all look-ups run at once."""
    given = [arg for arg in function.arguments if arg.flag in flags and flags[arg.flag].changed]
    values = await asyncio.gather(*(_resolve(session, arg, flags[arg.flag].value.get(), command) for arg in given))
    return {arg.name: value for arg, value in zip(given, values, strict=True)}


def _value(arg: Argument) -> Value | None:
    view = arg.type
    if view.element is not None:
        return _list_value(view.element)
    match view.kind:
        case Kind.STRING | Kind.VOID:
            return scalar("string", str)
        case Kind.INT:
            return scalar("int", graphql_int(parse_int))
        case Kind.FLOAT:
            return scalar("float", parse_float)
        case Kind.BOOL:
            return scalar("", parse_bool, bare="true")
        case Kind.SCALAR:
            return scalar(view.name, parse_platform) if view.name == "Platform" else scalar("string", str)
        case Kind.ENUM:
            return scalar(",".join(view.members), parse_enum(view.members))
        case Kind.INPUT:
            return scalar(view.name, _INPUTS[view.name]) if view.name in _INPUTS else None
        case _:
            is_own_id = arg.name == "id"
            return scalar(view.name, _address(view.name)) if view.name in _LOOKUPS and not is_own_id else None


def _list_value(element: TypeView) -> Value | None:
    match element.kind:
        case Kind.STRING | Kind.VOID:
            return many("strings", split_csv, str)
        case Kind.INT:
            return many("ints", split_commas, graphql_int(parse_list_int))
        case Kind.FLOAT:
            return many("floats", split_commas, parse_float)
        case Kind.BOOL:
            return many("bools", split_unquoted, parse_bool)
        case Kind.SCALAR:
            platform = element.name == "Platform"
            return many("[]Platform", split_unquoted, parse_platform) if platform else many("strings", split_csv, str)
        case Kind.ENUM:
            return many(f"[]{','.join(element.members)}", split_unquoted, parse_enum(element.members))
        case Kind.INPUT:
            parse = _INPUTS.get(element.name)
            return many(f"[]{element.name}", split_unquoted, parse) if parse else None
        case Kind.OBJECT:
            known = element.name in _LOOKUPS
            return many(f"[]{element.name}", split_unquoted, _address(element.name)) if known else None
        case _:
            return None


def _address(name: str) -> Any:
    names = {"CacheVolume": "cacheVolume name", "Module": "module ref", "ModuleSource": "module source ref"}
    return parse_name(names[name]) if name in names else str


async def _resolve(session: Session, arg: Argument, value: Any, command: str) -> Any:
    name = arg.type.object_name
    if not name:
        return value
    if arg.type.element is not None:
        return await asyncio.gather(*(_look_up(session, arg, name, text, command) for text in value))
    return await _look_up(session, arg, name, value, command)


async def _look_up(session: Session, arg: Argument, name: str, text: str, command: str) -> str:
    if name == "Secret" and ":" not in text:
        # The text may be the secret itself, so no more of it is shown than the engine shows.
        shown = f"{text[:3]}..."
        print(f'WRN deprecation: secret argument "{shown}" has no URI scheme: write env://, file:// or cmd://',
              file=sys.stderr)  # fmt: skip
    variables: dict[str, Any] = {"text": text}
    declared = "$text: String!"
    if name == "Directory":
        variables["exclude"] = list(arg.ignore)
        declared += ", $exclude: [String!]"
    try:
        found: Any = await session.execute(f"query({declared}) {{ {_LOOKUPS[name]} }}", variables)
    except EngineError as error:
        if name in _WRONG_ADDRESS_IS_USAGE:
            raise UsageError(f'failed to get value for argument "{arg.flag}": {error}', command) from error
        raise
    while isinstance(found, dict):
        (found,) = cast("dict[str, Any]", found).values()
    return found


def _usage(function: Function, arg: Argument) -> str:
    return _EXPORT_USAGE.get(arg.name, "") if function.name == "export" and function.owner in _EXPORTED else ""


def _shown_default(arg: Argument) -> str:
    if arg.default_path:
        return f'path "{arg.default_path}"'
    default = arg.default
    if default in (None, "", False, 0) or default == []:
        return ""
    match arg.type.kind:
        case Kind.LIST:
            return f"[{','.join(str(item) for item in default)}]"
        case Kind.BOOL:
            return "true"
        case Kind.STRING:
            return f'"{default}"'
        case Kind.SCALAR if arg.type.name != "Platform":
            return f'"{default}"'
        case _:
            return str(default)
