"""The Talos releases that the lab stands in for, and the versions of what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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
RELEASES: Final = (NEW, OLD)

TAILSCALE: Final = "1.98.10"
"""The version of Tailscale that the lab stands in for, the same for every Talos release."""

REGISTRY: Final = "ghcr.io/siderolabs"
