"""What Tailscale's service on a node is told: the settings, checked, and what is known to go wrong."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.errors import CozystackTalosError
from ci.load.configuration import placeholder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.load.configuration import ExtensionService
    from ci.load.variant import Variant

#: Name of the extension's service.
SERVICE: Final = "tailscale"
AUTH_KEY: Final = "TS_AUTHKEY"
ROUTES: Final = "TS_ROUTES"

#: Defaults of CozyStack's `networking` values (packages/core/platform/values.yaml, v0.38 to v1.6).
POD_CIDR: Final = "10.244.0.0/16"
SERVICE_CIDR: Final = "10.96.0.0/16"
JOIN_CIDR: Final = "100.64.0.0/16"

#: What Tailscale gives addresses from, and drops when it comes in elsewhere (util/linuxfw, `buildExternalCGNATRules`).
_OWN_NETWORK: Final = ipaddress.ip_network("100.64.0.0/10")
_NO_FIREWALL: Final = re.compile(r"--netfilter-mode[= ](off|nodivert)\b")
_HOSTNAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class TailscaleError(CozystackTalosError):
    """A setting for Tailscale is none, or has nothing that it could be for."""


@dataclass(frozen=True)
class Tailscale:
    """What Tailscale's service is told."""

    #: Networks that the node advertises to the tailnet; `None` where the variant itself says which, or none.
    routes: tuple[str, ...] | None = None
    #: The node's name in the tailnet; Tailscale takes the host name otherwise.
    hostname: str | None = None
    #: Further arguments of `tailscale up`.
    arguments: str | None = None
    #: CozyStack's join network.
    join_cidr: str = JOIN_CIDR
    #: Whether the auth key is put in place of its placeholder afterwards.
    has_auth_key: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the service (Tailscale's cmd/containerboot), with a placeholder for the auth key."""
        values: dict[str, str] = {}
        if self.has_auth_key:
            values[AUTH_KEY] = placeholder(AUTH_KEY)
        if self.routes:
            values[ROUTES] = ",".join(self.routes)
        if self.hostname:
            values["TS_HOSTNAME"] = self.hostname
        if self.arguments:
            values["TS_EXTRA_ARGS"] = self.arguments
        return values


def service_of(variant: Variant) -> ExtensionService | None:
    """Return Tailscale's service, where a variant's nodes run it."""
    services = variant.spec.configuration.extension_services
    return next((service for service in services if service.name == SERVICE), None)


def settings(
    variant: Variant,
    *,
    routes: Iterable[str] | None = None,
    hostname: str | None = None,
    arguments: str | None = None,
    join_cidr: str | None = None,
    has_auth_key: bool = False,
) -> Tailscale:
    """Return what was asked for, checked. Without routes CozyStack's are taken where the variant leaves them open.

    Raises `TailscaleError` for a network or a name that is none, and for any setting where the variant's nodes run no
    Tailscale.
    """
    given = {
        "--tailscale-auth-key": has_auth_key,
        "--routes": routes is not None,
        "--hostname": hostname is not None,
        "--tailscale-args": arguments is not None,
        "--join-cidr": join_cidr is not None,
    }
    service = service_of(variant)
    if any(given.values()) and service is None:
        names = ", ".join(name for name, is_given in given.items() if is_given)
        raise TailscaleError(f"variant {variant.name!r} has no service {SERVICE}: leave out {names}")
    if hostname is not None and not _HOSTNAME.fullmatch(hostname):
        raise TailscaleError(f"bad host name {hostname!r}: a-z, 0-9 and - between them, at most 63, without a domain")
    networks = None if routes is None else tuple(_split(routes))
    if routes is None and service and any(one.name == ROUTES and one.value is None for one in service.environment):
        networks = (POD_CIDR, SERVICE_CIDR)
    if networks == ():
        raise TailscaleError(f"--routes: no network is given: leave it out for {POD_CIDR},{SERVICE_CIDR}")
    return Tailscale(
        routes=networks and tuple(dict.fromkeys(_network("--routes", network) for network in networks)),
        hostname=hostname,
        arguments=arguments,
        join_cidr=_network("--join-cidr", JOIN_CIDR if join_cidr is None else join_cidr),
        has_auth_key=has_auth_key,
    )


def _split(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from (part.strip() for part in text.split(",") if part.strip())


def _network(flag: str, text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise TailscaleError(f"{flag}: bad network: {error}; write it as {_meant(text)}") from None


def _meant(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return POD_CIDR


def join_warning(told: Tailscale) -> str | None:
    """Return what to do where Tailscale's firewall would drop what comes from CozyStack's join network."""
    if not ipaddress.ip_network(told.join_cidr).overlaps(_OWN_NETWORK):
        return None
    if _NO_FIREWALL.search(told.arguments or ""):
        return None
    return f"""\
CozyStack's join network {told.join_cidr} lies inside {_OWN_NETWORK}, which Tailscale keeps for itself: on
this node its firewall drops what comes from there on any interface but its own, such as the answers of
Kube-OVN's gateway. Do one of these before a node starts with this configuration:
- Give CozyStack another join network when it is installed (networking.joinCIDR; before v1.0 ipv4-join-cidr),
  one outside {_OWN_NETWORK} such as 172.30.0.0/16, and give it here as --join-cidr.
- In the tailnet's policy, give this node the attribute disable-linux-cgnat-drop-rule, and the tailnet an ipPool
  that leaves out {told.join_cidr}. Tailscale knows the attribute from v1.98 on: the extension of Talos v1.13.6
  does, that of v1.11.3 does not.
- Give --tailscale-args=--netfilter-mode=off. Tailscale then sets up no firewall, and no source NAT for the
  routes either: pods and services need a route back to the tailnet. It counts at the first login only: a node
  that is logged in has to be taken out of the tailnet first, and its state in /var/lib/tailscale with it."""
