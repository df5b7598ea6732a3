"""The architectures that boot assets are made for, under the names that Talos gives them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ci.common.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALSO_KNOWN_AS = {"aarch64": "arm64", "armv8": "arm64", "x86_64": "amd64", "x86-64": "amd64", "x64": "amd64"}


class Arch(StrEnum):
    """An architecture of the target node."""

    ARM64 = "arm64"
    AMD64 = "amd64"

    @property
    def platform(self) -> str:
        """The OCI platform, such as `linux/arm64`."""
        return f"linux/{self.value}"


ARCHES = tuple(arch.value for arch in Arch)


def parse_arch(text: str) -> Arch:
    """Read `arm64` or `amd64`; any other word is an error that says which one was probably meant."""
    try:
        return Arch(text)
    except ValueError:
        meant = _ALSO_KNOWN_AS.get(text.lower().removeprefix("linux/"), text.lower().removeprefix("linux/"))
        hint = f"write {meant}" if meant in ARCHES else f"choose one of {', '.join(ARCHES)}"
        raise UserError(f"unknown architecture {text!r}: {hint}") from None


def parse_arches(names: Iterable[str]) -> tuple[Arch, ...]:
    """Read architectures, each once, in the order given; commas separate too."""
    found = dict.fromkeys(parse_arch(part.strip()) for name in names for part in name.split(",") if part.strip())
    if not found:
        raise UserError(f"no architecture is asked for: choose from {', '.join(ARCHES)}")
    return tuple(found)
