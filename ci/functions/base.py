"""What the parts of the module's object have in common."""

from typing import TYPE_CHECKING

import dagger

if TYPE_CHECKING:
    from ci.common.arch import Arch
    from ci.execute.inputs import Inputs
    from ci.execute.registry import Login
    from ci.execute.secureboot import Keys


class Functions:
    """A part of the module's object. What the constructor was given reaches it as `Inputs`, or as it was given."""

    upstream: dagger.Directory | None
    release: str | None
    variant_files: dagger.Directory | None
    arch: str

    def _parsed(self) -> "tuple[Arch, Login | None, Keys | None]":
        """Return what can be parsed without the engine: architecture, registry's login, keys for secure boot."""
        raise NotImplementedError

    async def _inputs(self) -> "Inputs":
        """Return the inputs of this call; the object itself has them."""
        raise NotImplementedError
