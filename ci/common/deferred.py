"""Modules that are loaded when they are first used.

Dagger starts the module at every call, on some engines twice: once to ask for its types, which takes nothing but the
arguments and texts of its functions. What they do is behind `deferred()`, and is loaded when one is called.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_OWN = "ci."


class _Finder(MetaPathFinder):
    """Find this project's modules as the finders after this one do, to be run at the first look into them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_OWN):
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                # A package is run at once: it holds nothing but a docstring, and is looked into for the module's sake.
                if spec.loader is not None and spec.submodule_search_locations is None:
                    spec.loader = LazyLoader(spec.loader)
                return spec
        return None


@contextmanager
def deferred() -> Generator[None]:
    """Import modules of this project without loading them: `from ci.plan import make`, then `make.make_plan`.

    A name that is taken out of a module (`from ci.plan.make import make_plan`) loads it all the same.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
