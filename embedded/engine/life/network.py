"""The containers' network: a bridge of the daemon's own, and a range of addresses that nothing else uses."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

RANGES = ipaddress.ip_network("10.209.0.0/16")
PREFIX = 22
"""A range has room for 1022 containers at once."""

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCBRDELBR = 0x8913, 0x8914, 0x89A1
_IFF_UP = 1


def free_range(digest: str, bridge: str, routes: str | None = None) -> str:
    """Choose a range that no route touches but those of `bridge` itself; the same one each time, if it is free.

    `routes` is the text of /proc/net/route: columns separated by blanks, addresses as little-endian hexadecimal.
    """
    text = Path("/proc/net/route").read_text() if routes is None else routes
    used: list[ipaddress.IPv4Network] = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[0] == bridge:
            continue
        destination, mask = (struct.pack("<I", int(fields[column], 16)) for column in (1, 7))
        network = ipaddress.IPv4Network((int.from_bytes(destination), ipaddress.IPv4Address(mask).compressed))
        if network.prefixlen:
            used.append(network)
    candidates = list(RANGES.subnets(new_prefix=PREFIX))
    first = int(digest, 16) % len(candidates)
    for candidate in candidates[first:] + candidates[:first]:
        if not any(candidate.overlaps(network) for network in used):
            return str(candidate)
    return str(candidates[first])


def remove_bridge(name: str) -> None:
    """Remove a bridge that a killed daemon left; nothing happens when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", name.encode(), 0)
        try:
            flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags & ~_IFF_UP))
            fcntl.ioctl(control, _SIOCBRDELBR, name.encode() + b"\0" * (16 - len(name)))
        except OSError:
            return  # it is gone, or not ours to remove
