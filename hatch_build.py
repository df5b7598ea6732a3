"""Compile the module when Dagger's Python runtime installs it, instead of at every call.

The runtime compiles the packages that it installs, except those that it installs in place: its SDK, in `sdk/`, and
this module. A call is a new container, in which Python would compile both anew and forget it. Only a build hook runs at
the right time. Elsewhere it does nothing.
"""

import compileall
import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Bytecode(BuildHookInterface):
    """Write the bytecode of what is installed in place. A file that does not compile is left to the import of it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, object]) -> None:  # noqa: ARG002
        """Compile, where Dagger's runtime says that this is a module of its."""
        if not os.environ.get("DAGGER_MODULE"):
            return
        for folder in ("sdk/src", "ci"):
            compileall.compile_dir(Path(self.root, folder), quiet=2)
