"""The containers' network: a bridge of the daemon's own, and a range of addresses that nothing else uses.

Three rules of the host's packet filter serve all containers. The plugins that would make rules for each container take
longer to do so than a small command runs, and leave them behind when the daemon is killed.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import socket
import struct
import subprocess
from pathlib import Path

from embedded.engine.errors import EngineError
from embedded.engine.life.place import Place

RANGES = ipaddress.ip_network("10.209.0.0/16")
PREFIX = 22
"""A range has room for 1022 containers at once."""

NETFILTER_HINT = "The kernel needs netfilter (iptables or nftables), and this process the right to use it (NET_ADMIN)."

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


def plugin_config(place: Place, addresses: str) -> str:
    """Return what the network plugins are told: a bridge, and addresses from a range."""
    ipam = {"type": "host-local", "dataDir": str(place.network / "addresses"), "ranges": [[{"subnet": addresses}]]}
    bridge = {"type": "bridge", "bridge": place.bridge, "isDefaultGateway": True, "ipam": ipam}
    return json.dumps({"cniVersion": "1.0.0", "name": "cozystack-talos", "plugins": [bridge]})


def filter_rules(place: Place, addresses: str) -> list[list[str]]:
    """Return the rules that let containers out: table, chain, and the rest of iptables' arguments."""
    mark = ["-m", "comment", "--comment", f"cozystack-talos {place.digest}"]
    known = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
    return [
        ["nat", "POSTROUTING", "-s", addresses, "!", "-d", addresses, *mark, "-j", "MASQUERADE"],
        ["filter", "FORWARD", "-s", addresses, *mark, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-d", addresses, *known, *mark, "-j", "ACCEPT"],
    ]


def add_rules(iptables: str, rules: list[list[str]]) -> None:
    """Put rules before all others of their chains; raises EngineError when the kernel or iptables refuses."""
    for table, chain, *rest in rules:
        done = _iptables(iptables, table, "-I", chain, rest)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise EngineError(f"the containers' network can't be set up: {last}", hint=NETFILTER_HINT)


def remove_rules(iptables: str, rules: list[list[str]]) -> None:
    """Remove rules where they are there."""
    for table, chain, *rest in rules:
        _iptables(iptables, table, "-D", chain, rest)


def _iptables(iptables: str, table: str, what: str, chain: str, rest: list[str]) -> subprocess.CompletedProcess[str]:
    command = [iptables, "-w", "10", "-t", table, what, chain, *rest]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


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
