"""The ways to boot, in words that arguments take. Apart from the model, which needs much more to be loaded."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ci.common.errors import OutputError, suggest
from ci.common.kinds import booted_by
from ci.plan.outputs import parse_outputs

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
#: What boots outputs of these kinds, as the imager calls them, on any platform.
_BY_KIND = {"image": Way.METAL, "iso": Way.ISO, "uki": Way.UKI}


def parse_way(text: str) -> Way:
    """Read `kernel`, `uki`, `iso` or `metal`; raises `OutputError` for anything else."""
    names = [way.value for way in WAYS]
    if text not in names:
        raise OutputError(f"unknown way to boot {text!r}: {suggest(text, names)}")
    return Way(text)


def parse_start(text: str) -> tuple[Way, str]:
    """Read a way to boot, or an output that starts by itself: `oracle.qcow2`, `openstack.iso`, `aws.uki`.

    Returns the way, and the output's name; it is empty where the way's own outputs are meant. Raises `OutputError` for
    anything else.
    """
    if text in WAYS or "." not in text:
        return parse_way(text), ""
    (output,) = parse_outputs([text])
    way = _BY_KIND.get(output.kind.imager_kind)
    if way is None:
        raise OutputError(f"{text} does not boot by itself: choose one of {', '.join(WAYS)}, or a disk image or an ISO")
    return way, output.name


def parse_ways(names: Iterable[str]) -> tuple[Way, ...]:
    """Read ways to boot, separated by commas, into the order of the table, each once."""
    asked = {parse_way(part.strip()) for name in names for part in name.split(",") if part.strip()}
    return tuple(way for way in WAYS if way in asked)
