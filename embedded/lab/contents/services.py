"""Service files of extensions, in the form that Talos reads from `usr/local/etc/containers/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Mount = tuple[str, Sequence[str]]
"""Where it is, inside as outside; mount options."""


def _mounts(mounts: Sequence[Mount]) -> str:
    lines: list[str] = []
    for place, options in mounts:
        lines += [f"    - source: {place}", f"      destination: {place}", "      type: bind", "      options:"]
        lines += [f"        - {option}" for option in options]
    return "".join(f"{line}\n" for line in lines)


def waiting(name: str, depends: str) -> str:
    """Return a service that waits for one thing, such as `configuration: true`."""
    return f"name: {name}\ndepends:\n  - {depends}\ncontainer:\n  entrypoint: /usr/local/bin/broken\nrestart: always\n"


TAILSCALE: Final = (
    "name: tailscale\n"
    "depends:\n"
    "  - service: cri\n"
    "  - network:\n"
    "      - addresses\n"
    "      - connectivity\n"
    "      - etcfiles\n"
    "  - configuration: true\n"
    "container:\n"
    "  entrypoint: /usr/local/bin/containerboot\n"
    "  environment:\n"
    "    - PATH=/sbin:/usr/local/bin\n"
    "    - TS_SOCKET=/var/run/tailscale/tailscaled.sock\n"
    "    - TS_STATE_DIR=/var/lib/tailscale\n"
    "    - TS_USERSPACE=false\n"
    "  security:\n"
    "    writeableRootfs: false\n"
    "    writeableSysfs: true\n"
    "  mounts:\n"
    + _mounts(
        [
            ("/dev/net/tun", ("bind", "rw")),
            ("/var/run/tailscale", ("bind", "rw")),
            ("/var/lib/tailscale", ("bind", "rw")),
            ("/etc/ssl/certs", ("rbind", "ro")),
        ]
    )
    + "restart: always\n"
)

ZFS: Final = (
    "name: zfs-service\n"
    "depends:\n"
    "  - service: udevd\n"
    "  - service: cri\n"
    "  - path: /dev/zfs\n"
    "container:\n"
    "  entrypoint: /zfs-service\n"
    "  mounts:\n"
    + _mounts(
        [
            *((place, ("bind", "ro")) for place in ("/lib", "/usr/lib", "/usr/local/lib", "/usr/local/sbin")),
            *((place, ("rshared", "rbind", "rw")) for place in ("/dev", "/run", "/var")),
        ]
    )
    + "  security:\n"
    "    rootfsPropagation: shared\n"
    "restart: untilSuccess\n"
)
