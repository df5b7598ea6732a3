"""Which function answers which field of Dagger's schema.

`@resolver("Container", "withExec")` registers a coroutine `(self, engine, **arguments)`. Argument names are those of
the schema in snake case, with `_` behind a Python keyword. What nobody answers is refused by name.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from embedded.engine.errors import UnsupportedError

Resolver = Callable[..., Awaitable[Any]]
F = TypeVar("F", bound=Resolver)

RESOLVERS: dict[tuple[str, str], Resolver] = {}

# What speaks of the caller's machine, which is not where an exec runs that uses the API.
_OF_THE_CALLER = {("Query", "host"), ("Query", "address"), ("Query", "secret")} | {
    (type_name, "export") for type_name in ("Changeset", "Container", "Directory", "File")
}

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Nested:
    """Who asks from within an exec (`experimentalPrivilegedNesting`)."""


def resolver(type_name: str, *fields: str) -> Callable[[F], F]:
    """Register a coroutine as the answer to one or more fields of a type."""

    def register(function: F) -> F:
        for field in fields:
            RESOLVERS[type_name, field] = function
        return function

    return register


def python_name(name: str) -> str:
    """`redirectStdout` → `redirect_stdout`, `from` → `from_`."""
    snake = _HUMP.sub("_", name).lower()
    return snake + "_" if keyword.iskeyword(snake) else snake


async def resolve(source: Any, info: Any, /, **arguments: Any) -> Any:
    """The field resolver of the whole schema."""
    module = info.context.module
    if module is not None and module.owns(info.parent_type.name, info.field_name):
        return await module.resolve(source, info.context, info.parent_type.name, info.field_name, arguments)
    if isinstance(info.root_value, Nested) and (info.parent_type.name, info.field_name) in _OF_THE_CALLER:
        raise UnsupportedError(f"{info.parent_type.name}.{info.field_name} from within an exec")
    answer = RESOLVERS.get((info.parent_type.name, info.field_name))
    if answer is None and info.field_name == "id":
        return info.context.id_of(source)
    if answer is None:
        raise UnsupportedError(f"{info.parent_type.name}.{info.field_name}")
    return await answer(source, info.context, **{python_name(key): value for key, value in arguments.items()})
