"""What is known to go wrong with a node in a tailnet, read from the variables of Tailscale's service.

The variables are those of Tailscale's cmd/containerboot (v1.88.1, which Talos v1.11.3 has, to v1.98.5). No text holds
a value of a secret variable.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ci.node import keys, up
from ci.node.keys import Key, kind_of
from ci.node.networks import (
    JOIN_CIDR,
    TAILNET,
    TAILNET_V6,
    NetworkError,
    contains,
    is_everything,
    is_ipv6,
    narrower,
    overlap,
    parse_network,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Name of the extension's service.
SERVICE: Final = "tailscale"
AUTH_KEY: Final = "TS_AUTHKEY"
ROUTES: Final = "TS_ROUTES"
ARGUMENTS: Final = "TS_EXTRA_ARGS"
CLIENT_ID: Final = "TS_CLIENT_ID"
_OLD_AUTH_KEY: Final = "TS_AUTH_KEY"

#: First version whose service knows identity federation (TS_CLIENT_ID, TS_AUDIENCE, TS_ID_TOKEN).
_FEDERATION: Final = (1, 94)

_NO_FIREWALL: Final = re.compile(r"--?netfilter-mode[= ](off|nodivert)\b")
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)\.")
_TAILSCALE: Final = re.compile(r"https://([a-z0-9-]+\.)*tailscale\.com/?")


def routes(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the networks that a node advertises, those of an exit node included; what is not a network is left out."""
    found: list[str] = []
    for text in split([values.get(ROUTES, "")]):
        try:
            found.append(parse_network(text))
        except NetworkError:
            continue
    if up.is_on(up.flags(values.get(ARGUMENTS, "")).get("advertise-exit-node")):
        found += ["0.0.0.0/0", "::/0"]
    return tuple(dict.fromkeys(found))


def needs_ipv6_forwarding(values: Mapping[str, str]) -> bool:
    """Say whether the node routes IPv6, for which Talos by itself sets no forwarding on the links that exist."""
    return any(is_ipv6(network) for network in routes(values))


def problems(
    values: Mapping[str, str], key: Key | None = None, version: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield what makes the service fail, or is undone at its next start: each with the variable that it is about.

    `key` is what is known of an auth key that is not among the values; `version` is Tailscale's.
    """
    networks = list(split([values.get(ROUTES, "")]))
    for text in networks:
        try:
            parse_network(text)
        except NetworkError as error:
            yield ROUTES, f"bad network: {error}"
    everything = {is_ipv6(network) for network in routes({ROUTES: values.get(ROUTES, "")}) if is_everything(network)}
    if len(everything) == 1:
        missing = "0.0.0.0/0" if everything == {True} else "::/0"
        yield (
            ROUTES,
            (
                f"a default route without its counterpart {missing} is refused by Tailscale: for an exit node give "
                "--tailscale-args=--advertise-exit-node, otherwise the networks that are meant"
            ),
        )
    arguments = values.get(ARGUMENTS, "")
    yield from ((ARGUMENTS, problem) for problem in up.problems(arguments))
    yield from _login_problems(values, up.flags(arguments), key, version)


def _login_problems(
    values: Mapping[str, str], flags: Mapping[str, str], key: Key | None, version: str | None
) -> Iterator[tuple[str, str]]:
    has_key = AUTH_KEY in values or _OLD_AUTH_KEY in values
    if AUTH_KEY in values and _OLD_AUTH_KEY in values:
        yield _OLD_AUTH_KEY, f"it is another name of {AUTH_KEY}, and both are set: leave out one of them"
    if CLIENT_ID in values:
        if has_key:
            yield CLIENT_ID, f"Tailscale takes it or {AUTH_KEY}, not both: leave out one of them"
        known = _VERSION.match(version or "")
        if known and (int(known[1]), int(known[2])) < _FEDERATION:
            yield (
                CLIENT_ID,
                (f"Tailscale {version} in the image does not know it: its service does from 1.94 on. Give an auth key"),
            )
        if not {"TS_AUDIENCE", "TS_ID_TOKEN", "TS_CLIENT_SECRET"} & set(values):
            yield CLIENT_ID, "it does nothing alone: give --tailscale-audience as well"
        if "advertise-tags" not in flags:
            yield CLIENT_ID, "a node that logs in by identity federation needs a tag: give --advertise-tags"
    for name in ("TS_AUDIENCE", "TS_ID_TOKEN"):
        if name in values and CLIENT_ID not in values:
            yield name, "it needs the client's id: give --tailscale-client-id"
    known_key = key or _key_in(values)
    if known_key:
        yield from ((AUTH_KEY, problem) for problem in _key_problems(known_key, flags))


def _key_in(values: Mapping[str, str]) -> Key | None:
    text = values.get(AUTH_KEY, values.get(_OLD_AUTH_KEY))
    return None if text is None or text.startswith("<") else kind_of(text)


def _key_problems(key: Key, flags: Mapping[str, str]) -> Iterator[str]:
    if key.kind in keys.OTHERS:
        yield (
            f"it begins with {key.kind}: that is {keys.OTHERS[key.kind]}, with which no node logs in. Make an auth key "
            f"({keys.AUTH}…), or an OAuth client with the scope auth_keys ({keys.CLIENT}…)"
        )
    if key.kind == keys.CLIENT and "advertise-tags" not in flags:
        yield f"it is the secret of an OAuth client ({keys.CLIENT}…), which needs a tag: give --advertise-tags"


def warnings(
    values: Mapping[str, str],
    key: Key | None = None,
    *,
    join_cidr: str = JOIN_CIDR,
    node_subnets: Iterable[str] = (),
) -> Iterator[str]:
    """Yield what is likely to go wrong, and what to do."""
    if warning := _join_warning(join_cidr, values.get(ARGUMENTS, "")):
        yield warning
    yield from _route_warnings(routes(values), join_cidr, tuple(node_subnets))
    flags = up.flags(values.get(ARGUMENTS, ""))
    yield from _key_warnings(values, key or _key_in(values), flags)
    if up.is_on(flags.get("accept-routes")) and routes(values):
        yield (
            "This node routes networks into the tailnet and accepts those of others (accept-routes): where another "
            "router advertises the same network, or one that the node itself is in, its packets for that network leave "
            "through the tailnet. Accept routes only if no other router advertises this cluster's networks."
        )
    if values.get("TS_ACCEPT_DNS", "").lower() in ("true", "t", "1"):
        yield (
            "This node accepts the tailnet's DNS settings (accept-dns): they count in Tailscale's own container. Talos "
            "and pods go on with the resolvers of the machine configuration."
        )


def _route_warnings(networks: Iterable[str], join_cidr: str, node_subnets: tuple[str, ...]) -> Iterator[str]:
    for network in networks:
        if is_everything(network):
            continue
        if overlap(network, join_cidr):
            yield (
                f"The route {network} overlaps CozyStack's join network {join_cidr}, which belongs to the nodes alone: "
                "leave it out of the routes."
            )
        elif overlap(network, TAILNET) or overlap(network, TAILNET_V6):
            yield (
                f"The route {network} overlaps {TAILNET_V6 if is_ipv6(network) else TAILNET}, from which Tailscale "
                "gives its addresses: leave it out of the routes."
            )
        for subnet in node_subnets:
            if not subnet.startswith("!") and not is_everything(subnet) and overlap(network, subnet):
                yield (
                    f"The route {network} overlaps the nodes' own network {subnet}: a machine of that network that "
                    "accepts routes reaches its neighbours through this node. Leave it out unless that is meant."
                )


def _key_warnings(values: Mapping[str, str], key: Key | None, flags: Mapping[str, str]) -> Iterator[str]:
    ephemeral = key.is_ephemeral if key else None
    if CLIENT_ID in values:
        ephemeral = keys.attributes_of(values[CLIENT_ID]).get("ephemeral", True)
    if ephemeral and routes(values):
        yield (
            "This node would be ephemeral: when it is offline for some time, the tailnet forgets it, and the approval "
            "of its routes with it. A router should stay: put ?ephemeral=false behind the client's secret or id, or "
            "give an auth key that is not ephemeral."
        )
    if key is None:
        return
    server = flags.get("login-server")
    elsewhere = server is not None and not _TAILSCALE.fullmatch(server)
    if key.kind == keys.HEADSCALE and not elsewhere:
        yield "The auth key is Headscale's, and the node logs in to Tailscale's own server: give --login-server."
    if key.kind in (keys.AUTH, keys.CLIENT, keys.PLAIN) and elsewhere:
        yield "The auth key is Tailscale's, and --login-server names another server: give a key of that server."
    if key.kind == keys.UNKNOWN and not elsewhere:
        yield f"The auth key does not begin as Tailscale's do ({keys.AUTH}…): is it the right secret?"


def with_tailnet(subnets: Iterable[str]) -> list[str]:
    """Return those of the nodes' networks that let an address of the tailnet in; `!` before one excludes it."""
    listed = tuple(subnets)
    excluded = [one.removeprefix("!") for one in listed if one.startswith("!")]
    return [
        one
        for one in listed
        if not one.startswith("!")
        for own in (TAILNET, TAILNET_V6)
        if overlap(one, own) and not any(contains(other, narrower(one, own)) for other in excluded)
    ]


def address_warning(subnets: Iterable[str] | None) -> str | None:
    """Return what to do where nothing keeps Talos from taking the tailnet's address as the node's own."""
    if subnets is None:
        return """\
Nothing says which of its addresses the node is to use. With Tailscale on it, Talos may take the tailnet's
(100.x.y.z) as the node's own: pods, etcd and the API server are then reached through the tailnet, or not at
all. Give the network of the nodes as --node-subnets, for example --node-subnets 192.168.1.0/24."""
    if inside := with_tailnet(subnets):
        return f"""\
{", ".join(inside)} overlaps {TAILNET}, from which Tailscale gives its addresses: Talos may take the tailnet's address
as the node's own. Name the network of the nodes' other interface as --node-subnets, or exclude the tailnet's
(--node-subnets '0.0.0.0/0,!{TAILNET}')."""
    return None


def _join_warning(join_cidr: str, arguments: str) -> str | None:
    """Return what to do where Tailscale's firewall would drop what comes from CozyStack's join network."""
    if not overlap(join_cidr, TAILNET) or _NO_FIREWALL.search(arguments):
        return None
    return f"""\
CozyStack's join network {join_cidr} lies inside {TAILNET}, which Tailscale keeps for itself: on
this node its firewall drops what comes from there on any interface but its own, such as the answers of
Kube-OVN's gateway. Do one of these before a node starts with this configuration:
- Give CozyStack another join network when it is installed (networking.joinCIDR; before v1.0 ipv4-join-cidr),
  one outside {TAILNET} such as 172.30.0.0/16, and give it here as --join-cidr.
- In the tailnet's policy, give this node the attribute disable-linux-cgnat-drop-rule, and the tailnet an ipPool
  that leaves out {join_cidr}. Tailscale knows the attribute from v1.98 on: the extension of Talos v1.13.6
  does, that of v1.11.3 does not.
- Give --tailscale-args=--netfilter-mode=off. Tailscale then sets up no firewall, and no source NAT for the
  routes either: pods and services need a route back to the tailnet. It counts at the first login only: a node
  that is logged in has to be taken out of the tailnet first, and its state in /var/lib/tailscale with it."""
