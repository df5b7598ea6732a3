"""Networks that a person writes: read with their prefix length, and compared."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Defaults of CozyStack's `networking` values (packages/core/platform/values.yaml, v0.38 to v1.6).
POD_CIDR: Final = "10.244.0.0/16"
SERVICE_CIDR: Final = "10.96.0.0/16"
JOIN_CIDR: Final = "100.64.0.0/16"

#: From which Tailscale gives addresses; it drops packets from there that come in by any other interface than its own
#: (util/linuxfw, `buildExternalCGNATRules`).
TAILNET: Final = "100.64.0.0/10"
#: Tailscale's IPv6 range (net/tsaddr, `TailscaleULARange`).
TAILNET_V6: Final = "fd7a:115c:a1e0::/48"


class NetworkError(ValueError):
    """A text is not a network; the message says what to write."""


def split(texts: Iterable[str]) -> Iterator[str]:
    """Yield the parts of texts that commas separate, without blanks and without empty parts."""
    for text in texts:
        yield from (part.strip() for part in text.split(",") if part.strip())


def parse_network(text: str) -> str:
    """Return a network as `10.244.0.0/16`.

    Raises `NetworkError` for a text that is not a network, has host bits set, or has no prefix length: a bare address
    would silently become a network of one address.
    """
    if "/" not in text and _is_address(text):
        bits = ipaddress.ip_address(text).max_prefixlen
        raise NetworkError(
            f"{text} has no prefix length; write it as {_widest(text)}, or {text}/{bits} for one address"
        )
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise NetworkError(f"{error}; write it as {_meant(text)}") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _widest(text: str) -> str:
    """Return an address as the network that it begins: 10.0.0.0/8, 10.244.0.0/16, fd00::/64."""
    address = ipaddress.ip_address(text)
    if address.version == 6:
        return str(ipaddress.ip_network(f"{text}/64", strict=False))
    octets = text.split(".")
    while len(octets) > 1 and octets[-1] == "0":
        octets.pop()
    length = 8 * len(octets) if len(octets) < 4 else 24
    return str(ipaddress.ip_network(f"{text}/{length}", strict=False))


def _meant(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return POD_CIDR


def overlap(one: str, other: str) -> bool:
    """Say whether two networks share an address."""
    return ipaddress.ip_network(one, strict=False).overlaps(ipaddress.ip_network(other, strict=False))


def contains(outer: str, inner: str) -> bool:
    """Say whether all addresses of a network are in another one."""
    return overlap(outer, inner) and _length(outer) <= _length(inner)


def narrower(one: str, other: str) -> str:
    """Return the smaller of two networks that overlap: all addresses that both have."""
    return max(one, other, key=_length)


def _length(network: str) -> int:
    return ipaddress.ip_network(network, strict=False).prefixlen


def is_ipv6(network: str) -> bool:
    """Say whether a network is of IPv6."""
    return ipaddress.ip_network(network, strict=False).version == 6


def is_everything(network: str) -> bool:
    """Say whether a network is the default route of its family."""
    return ipaddress.ip_network(network, strict=False).prefixlen == 0
