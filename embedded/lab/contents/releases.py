"""The Talos releases that the lab stands in for, and the versions of what belongs to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final


@dataclass(frozen=True)
class Release:
    """A Talos release as a CozyStack release pins it."""

    talos: str
    cozystack: str
    """The tag of CozyStack whose profiles name this Talos."""
    date: int
    """When that release's commit was made, in seconds since 1970."""
    profiles: str
    """Where that release keeps `images/talos/profiles` and `images/matchbox`."""
    matchbox: str
    pins_matchbox: bool
    """Whether its Dockerfile names Matchbox by digest too."""
    firmware: str
    intel_microcode: str
    drbd: str
    zfs: str
    spin: str
    gvisor: str
    crun: str
    youki: str
    wasmedge: str
    util_linux: str
    raspberry_pi: str
    """The tag of the overlay image for Raspberry Pi."""
    boards: tuple[str, ...]
    """What that image has installers for."""


NEW: Final = Release(
    talos="v1.13.6",
    cozystack="v1.6.2",
    date=1787125936,
    profiles="packages/core/talos",
    matchbox="v0.11.0",
    pins_matchbox=True,
    firmware="20260622",
    intel_microcode="20260512",
    drbd="9.3.2",
    zfs="2.4.3",
    spin="v0.25.1",
    gvisor="20260622.0",
    crun="1.28",
    youki="0.6.0",
    wasmedge="v0.6.1",
    util_linux="2.41.4",
    raspberry_pi="v0.2.0",
    boards=("rpi_generic", "rpi_5"),
)
OLD: Final = Release(
    talos="v1.11.3",
    cozystack="v0.38.2",
    date=1764618566,
    profiles="packages/core/installer",
    matchbox="v0.10.0",
    pins_matchbox=False,
    firmware="20250917",
    intel_microcode="20250812",
    drbd="9.2.14",
    zfs="2.3.3",
    spin="v0.21.0",
    gvisor="20250707.0",
    crun="1.24",
    youki="0.5.5",
    wasmedge="v0.6.0",
    util_linux="2.41.1",
    raspberry_pi="v0.1.5",
    boards=("rpi_generic",),
)
MAIN: Final = (NEW, OLD)
"""The releases that all of the lab is made for: the newest, and the oldest that is supported."""


def _like(
    release: Release, talos: str, cozystack: str, firmware: str, microcode: str, drbd: str, zfs: str, **more: Any
) -> Release:
    """Return a release between those: what its profiles name is its own, all else as with one of them."""
    profiles, pins = ("packages/core/talos", False)
    return replace(
        release,
        talos=talos,
        cozystack=cozystack,
        profiles=profiles,
        pins_matchbox=pins,
        firmware=firmware,
        intel_microcode=microcode,
        drbd=drbd,
        zfs=zfs,
        **more,
    )


FURTHER: Final = (
    _like(OLD, "v1.11.6", "v0.41.11", "20251125", "20250812", "9.2.16", "2.3.5"),
    _like(OLD, "v1.12.1", "v1.0.0", "20251125", "20251111", "9.2.16", "2.4.0"),
    _like(OLD, "v1.12.6", "v1.2.0", "20260309", "20260227", "9.2.16", "2.4.1"),
    _like(OLD, "v1.12.7", "v1.2.4", "20260410", "20260227", "9.2.16", "2.4.1"),
    _like(NEW, "v1.13.0", "v1.4.0", "20260410", "20260227", "9.3.1", "2.4.1", matchbox="v0.10.0"),
    _like(NEW, "v1.13.5", "v1.6.0-rc.1", "20260519", "20260512", "9.3.2", "2.4.3"),
    # No release of CozyStack has it yet: the tag is the lab's.
    _like(NEW, "v1.14.0-rc.1", "v1.7.0-lab.1", "20260622", "20260512", "9.3.2", "2.4.3"),
)
"""Every other Talos that a release of CozyStack has, and the next one: made when something asks for them."""

RELEASES: Final = (*MAIN, *FURTHER)


def is_on_demand(name: str) -> bool:
    """Tell whether a recipe belongs to further releases alone, by what its name has of their versions."""
    return any(re.search(rf"[:/-]{re.escape(version)}(?![\w.])", name) for version in _ONLY_FURTHER)


def _versions(releases: Iterable[Release]) -> set[str]:
    return {version for one in releases for version in (one.talos, one.firmware, one.intel_microcode)}


_ONLY_FURTHER: Final = _versions(FURTHER) - _versions(MAIN)

TAILSCALE: Final = "1.98.10"
"""The version of Tailscale that the lab stands in for, the same for every Talos release."""

REGISTRY: Final = "ghcr.io/siderolabs"
