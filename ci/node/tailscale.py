"""Settings of Tailscale's service on a node: read from arguments, checked, and turned into its variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.errors import UserError
from ci.load.configuration import placeholder
from ci.node import tailnet, up
from ci.node.keys import IN_TEXT
from ci.node.networks import JOIN_CIDR, POD_CIDR, SERVICE_CIDR, NetworkError, parse_network, split
from ci.node.tailnet import ARGUMENTS, AUTH_KEY, ROUTES, SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.load.configuration import ExtensionService
    from ci.load.variant import Variant
    from ci.node.keys import Key

#: The argument that keeps a key from sight.
KEY_FLAG: Final = "--tailscale-auth-key"

_HOSTNAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TAG: Final = re.compile(r"(tag:)?[A-Za-z][A-Za-z0-9-]*")
_SERVER: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+/?")
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._/-]+(\?[A-Za-z]+=[A-Za-z0-9]+(&[A-Za-z]+=[A-Za-z0-9]+)*)?")
_AUDIENCE: Final = re.compile(r"[A-Za-z0-9._:/-]+")


@dataclass(frozen=True)
class Tailscale:
    """Settings of Tailscale's service."""

    #: Networks that the node advertises to the tailnet; `None` where the variant says which, or none.
    routes: tuple[str, ...] | None = None
    #: The node's name in the tailnet; Tailscale takes the host name otherwise.
    hostname: str | None = None
    #: Further arguments of `tailscale up`.
    arguments: str | None = None
    #: Whether it takes the tailnet's DNS settings; `None`: it does not.
    accept_dns: bool | None = None
    #: Identity federation: the client's id, and for whom the node's identity provider makes tokens.
    client_id: str | None = None
    audience: str | None = None
    #: CozyStack's join network.
    join_cidr: str = JOIN_CIDR
    #: Whether the auth key is put in place of its placeholder afterwards.
    has_auth_key: bool = False
    #: What is known of the auth key.
    key: Key | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the service (Tailscale's cmd/containerboot), with a placeholder for the auth key."""
        values: dict[str, str | None] = {
            AUTH_KEY: placeholder(AUTH_KEY) if self.has_auth_key else None,
            ROUTES: ",".join(self.routes or ()),
            "TS_HOSTNAME": self.hostname,
            ARGUMENTS: self.arguments,
            "TS_ACCEPT_DNS": None if self.accept_dns is None else str(self.accept_dns).lower(),
            "TS_CLIENT_ID": self.client_id,
            "TS_AUDIENCE": self.audience,
        }
        return {name: value for name, value in values.items() if value}

    @property
    def unneeded(self) -> frozenset[str]:
        """Required variables that are not: a node that logs in by identity federation has no auth key."""
        return frozenset({AUTH_KEY}) if self.client_id else frozenset()


@dataclass(frozen=True)
class Asked:
    """Settings of Tailscale's service as arguments give them; `None` is not given."""

    routes: Iterable[str] | None = None
    hostname: str | None = None
    #: Further arguments of `tailscale up`, as one text.
    arguments: str | None = None
    join_cidr: str | None = None
    has_auth_key: bool = False
    login_server: str | None = None
    accept_routes: bool | None = None
    accept_dns: bool | None = None
    tags: Iterable[str] | None = None
    client_id: str | None = None
    audience: str | None = None


def service_of(variant: Variant) -> ExtensionService | None:
    """Return Tailscale's service, where a variant's nodes run it."""
    services = variant.spec.configuration.extension_services
    return next((service for service in services if service.name == SERVICE), None)


def environment(service: ExtensionService, told: Tailscale) -> dict[str, str]:
    """Return the variables that the service gets: the variant's, placeholders, and what is asked for over both."""
    given = told.environment if service.name == SERVICE else {}
    dropped = told.unneeded if service.name == SERVICE else frozenset[str]()
    values = {
        one.name: placeholder(one.name) if one.value is None and one.required else one.value
        for one in service.environment
        if one.name not in dropped
    } | given
    return {name: value for name, value in values.items() if value is not None}


def settings(
    variant: Variant, asked: Asked, *, key: Key | None = None, tailscale_version: str | None = None
) -> Tailscale:
    """Return the settings that were asked for, checked.

    Without routes CozyStack's are taken where the variant leaves them open. Raises `UserError` for a setting that
    is not valid, for two that contradict each other, and for any where the variant's nodes do not run Tailscale.
    """
    given: dict[str, object] = {
        KEY_FLAG: asked.has_auth_key or None,
        "--routes": asked.routes,
        "--hostname": asked.hostname,
        "--tailscale-args": asked.arguments,
        "--join-cidr": asked.join_cidr,
        "--login-server": asked.login_server,
        "--accept-routes": asked.accept_routes,
        "--accept-dns": asked.accept_dns,
        "--advertise-tags": asked.tags,
        "--tailscale-client-id": asked.client_id,
        "--tailscale-audience": asked.audience,
    }
    names = [name for name, value in given.items() if value is not None]
    service = service_of(variant)
    if service is None:
        if names:
            raise UserError(f"variant {variant.name!r} has no service {SERVICE}: leave out {', '.join(names)}")
        return Tailscale()
    _check("host name", asked.hostname, _HOSTNAME, "a-z, 0-9 and - between them, at most 63, without a domain")
    _check("login server", asked.login_server, _SERVER, "write a URL such as https://headscale.example.com")
    _check("client id", asked.client_id, _CLIENT_ID, "write it as Tailscale shows it; ?ephemeral=false may follow")
    _check("audience", asked.audience, _AUDIENCE, "write it as the client's trust settings have it")
    flags = {
        "login-server": asked.login_server,
        "accept-routes": None if asked.accept_routes is None else str(asked.accept_routes).lower(),
        "advertise-tags": _tags(asked.tags),
    }
    told = Tailscale(
        routes=_routes(service, asked.routes),
        hostname=asked.hostname,
        arguments=_arguments(service, asked.arguments, flags),
        accept_dns=asked.accept_dns,
        client_id=asked.client_id,
        audience=asked.audience,
        join_cidr=_network("--join-cidr", JOIN_CIDR if asked.join_cidr is None else asked.join_cidr),
        has_auth_key=asked.has_auth_key,
        key=key,
    )
    spoken = {
        ROUTES: "--routes" if asked.routes is not None else f"{variant.file}: {ROUTES}",
        ARGUMENTS: "--tailscale-args" if asked.arguments is not None else f"{variant.file}: {ARGUMENTS}",
        AUTH_KEY: KEY_FLAG,
        "TS_CLIENT_ID": "--tailscale-client-id",
        "TS_AUDIENCE": "--tailscale-audience",
    }
    values = environment(service, told)
    if not told.has_auth_key:
        values.pop(AUTH_KEY, None)
    for variable, problem in tailnet.problems(values, key, tailscale_version):
        raise UserError(f"{spoken.get(variable, f'{variant.file}: {variable}')}: {problem}")
    return told


def _check(what: str, text: str | None, grammar: re.Pattern[str], allowed: str) -> None:
    if text is not None and IN_TEXT.search(text):
        raise UserError(f"bad {what}: there is a key in it, which would be in clear: give it as {KEY_FLAG}")
    if text is not None and not grammar.fullmatch(text):
        raise UserError(f"bad {what} {text!r}: {allowed}")


def _routes(service: ExtensionService, routes: Iterable[str] | None) -> tuple[str, ...] | None:
    networks = None if routes is None else tuple(split(routes))
    if networks is None and any(one.name == ROUTES and one.value is None for one in service.environment):
        networks = (POD_CIDR, SERVICE_CIDR)
    if networks == ():
        raise UserError(f"--routes: no network is given: leave it out for {POD_CIDR},{SERVICE_CIDR}")
    return networks and tuple(dict.fromkeys(_network("--routes", network) for network in networks))


def _network(flag: str, text: str) -> str:
    if IN_TEXT.search(text):
        raise UserError(f"{flag}: there is a key in it: give it as {KEY_FLAG}")
    try:
        return parse_network(text)
    except NetworkError as error:
        raise UserError(f"{flag}: bad network: {error}") from None


def _tags(tags: Iterable[str] | None) -> str | None:
    if tags is None:
        return None
    names = tuple(split(tags))
    for name in names or ("",):
        _check("tag", name, _TAG, "write it as the tailnet's policy has it, such as tag:router")
    return ",".join(name if name.startswith("tag:") else f"tag:{name}" for name in names)


def _arguments(service: ExtensionService, text: str | None, flags: Mapping[str, str | None]) -> str | None:
    """Return the arguments that were given, or else the variant's, and behind them those that have a name here."""
    own = next((one.value for one in service.environment if one.name == ARGUMENTS), None)
    base = own if text is None else text
    there = up.flags(base or "")
    for name, value in flags.items():
        if value is not None and name in there:
            where = "the variant's TS_EXTRA_ARGS" if text is None else "--tailscale-args"
            raise UserError(f"--{name} is given twice: as an argument, and in {where}: leave out one of them")
    added = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    # Without anything to add the variant's own value counts.
    return " ".join([base, *added] if base else added) if added else text
