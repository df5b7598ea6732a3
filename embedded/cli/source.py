"""What can be known of the module here without loading it, from its text."""

from __future__ import annotations

import re
from pathlib import Path

from embedded.engine.errors import EngineError

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
