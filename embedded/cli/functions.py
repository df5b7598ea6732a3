"""`functions`: what can be called, at the top or along a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded.cli.arguments import supported
from embedded.cli.help import print_functions
from embedded.engine.errors import EngineError

if TYPE_CHECKING:
    from embedded.cli.model import Model


def list_functions(model: Model, path: list[str]) -> None:
    """Print the functions of what the functions in `path` would give, without calling them."""
    owner = model.root
    for name in path:
        function = model.find(owner, name)
        if function is None:
            raise EngineError(f'no function "{name}" in type "{owner}"')
        if not supported(function):
            raise EngineError(f'function "{name}" in type "{owner}" is not supported')
        if not function.type.object_name:
            kind = f"{function.type.kind.name}_KIND"
            raise EngineError(f'function "{name}" returns type "{kind}" with no further functions available')
        owner = function.type.object_name
    print_functions(model.functions(owner))
