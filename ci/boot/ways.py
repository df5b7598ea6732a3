"""The ways to boot, in words that arguments take. Apart from the model, which needs much more to be loaded."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ci.common.errors import OutputError, suggest
from ci.common.kinds import booted_by

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds without progress after which a boot is given up.
DEADLINE = 300


class Way(StrEnum):
    """What a machine boots from."""

    #: Kernel and initramfs, loaded by QEMU itself.
    KERNEL = "kernel"
    #: The unified kernel image, from an EFI system partition.
    UKI = "uki"
    #: The ISO, as a CD.
    ISO = "iso"
    #: The disk image.
    METAL = "metal"
    #: The network: iPXE, and Matchbox.
    NETBOOT = "netboot"


#: The ways that need nothing but assets, and the outputs that each of them takes.
OUTPUTS: dict[Way, tuple[str, ...]] = {
    way: tuple(f"{kind.name}.raw" if kind.disk else kind.name for kind in booted_by(way.value))
    for way in Way
    if booted_by(way.value)
}
WAYS = tuple(OUTPUTS)


def parse_way(text: str) -> Way:
    """Read `kernel`, `uki`, `iso` or `metal`; raises `OutputError` for anything else."""
    names = [way.value for way in WAYS]
    if text not in names:
        raise OutputError(f"unknown way to boot {text!r}: {suggest(text, names)}")
    return Way(text)


def parse_ways(names: Iterable[str]) -> tuple[Way, ...]:
    """Read ways to boot, separated by commas, into the order of the table, each once."""
    asked = {parse_way(part.strip()) for name in names for part in name.split(",") if part.strip()}
    return tuple(way for way in WAYS if way in asked)
