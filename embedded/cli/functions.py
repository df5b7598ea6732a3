"""`functions`: what can be called, at the top or along a chain."""

from __future__ import annotations

import json
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
    definition = re.compile(rf"^    (async )?def {re.escape(name.replace('-', '_'))}_?\(", re.MULTILINE)
    root = next((folder for folder in (here, *here.parents) if (folder / "dagger.json").is_file()), None)
    try:
        source = root / json.loads((root / "dagger.json").read_text()).get("source", ".") if root else None
        found = [file for shape in _MAIN_FILES for file in source.glob(shape)] if source else []
        return any(definition.search(file.read_text()) for file in found)
    except (OSError, ValueError, AttributeError, TypeError):
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
