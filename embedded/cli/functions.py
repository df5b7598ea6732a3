"""`functions`: what can be called, at the top or along a chain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cli.arguments import supported
from embedded.cli.help import print_functions
from embedded.engine.errors import EngineError

if TYPE_CHECKING:
    from embedded.cli.model import Model

_MAIN_FILES = ("main.py", "*/main.py", "src/*/main.py")


def seems_a_function(name: str, here: Path) -> bool:
    """Tell whether the module in a folder or above it has such a function, by the look of its `main.py`.

    Only a session would know, and it takes seconds.
    """
    from embedded.engine.module.source import find_module

    definition = re.compile(rf"^    (async )?def {re.escape(name.replace('-', '_'))}_?\(", re.MULTILINE)
    try:
        source = find_module(here, None)
        found = [file for shape in _MAIN_FILES for file in source.folder.glob(shape)] if source else []
        return any(definition.search(file.read_text()) for file in found)
    except (EngineError, OSError, ValueError):
        return False  # what is wrong with a module is told where it is loaded


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
