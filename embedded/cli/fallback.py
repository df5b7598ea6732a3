"""Texts for arguments that a caller leaves out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embedded.cli.model import Function

#: What a function has that reads CozyStack's packages itself, and asks the registries of their images.
_OF_PACKAGES: Final = {"upstream", "mirrors"}


@dataclass(frozen=True)
class Fallback:
    """Texts for arguments that the caller left out, by flag name."""

    constructor: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Of a function that reads CozyStack's packages.
    packages: Mapping[str, str] = field(default_factory=dict[str, str])

    def of(self, function: Function | None) -> Mapping[str, str]:
        """Return what a function is given; nothing for one that works on the constructor's checkout."""
        return self.packages if function is not None and reads_packages(function) else {}


def reads_packages(function: Function) -> bool:
    """Tell whether a function reads CozyStack's packages, and not the constructor's checkout."""
    return {argument.flag for argument in function.arguments} >= _OF_PACKAGES
