"""Arguments of `tailscale up`, as the service's variable TS_EXTRA_ARGS gives them.

The service (Tailscale's cmd/containerboot) splits the text at blanks, without quotes, and puts the parts behind the
arguments that it makes of its variables. Flags are Go's: `-flag` and `--flag`, `--flag=value` and `--flag value`; a
switch takes its value only behind `=`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ci.common.errors import nearest
from ci.node.keys import IN_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SWITCHES: Final = frozenset(
    {
        "accept-dns",
        "accept-routes",
        "advertise-connector",
        "advertise-exit-node",
        "exit-node-allow-lan-access",
        "force-reauth",
        "host-routes",
        "json",
        "qr",
        "report-posture",
        "reset",
        "shields-up",
        "snat-subnet-routes",
        "ssh",
        "stateful-filtering",
        "unattended",
    }
)
_WITH_VALUE: Final = frozenset(
    {
        "accept-risk",
        "advertise-routes",
        "advertise-tags",
        "audience",
        "auth-key",
        "authkey",
        "client-id",
        "client-secret",
        "exit-node",
        "hostname",
        "id-token",
        "login-server",
        "netfilter-mode",
        "operator",
        "qr-format",
        "timeout",
    }
)
#: Flags of `tailscale set` that `tailscale up` refuses: the service would end and start again without an end.
_OF_SET: Final = frozenset(
    {
        "auto-update",
        "nickname",
        "posture-checking",
        "relay-server-port",
        "relay-server-static-endpoints",
        "update-check",
        "webclient",
    }
)

#: What the service sets by a variable of its own, and by which argument that variable is given. Said twice, it is
#: different after the next start: `tailscale set` runs then, with the variables and without these arguments.
INSTEAD: Final[Mapping[str, str]] = {
    "accept-dns": "--accept-dns",
    "advertise-routes": "--routes",
    "audience": "--tailscale-audience",
    "auth-key": "--tailscale-auth-key",
    "authkey": "--tailscale-auth-key",
    "client-id": "--tailscale-client-id",
    "client-secret": "--tailscale-auth-key",
    "hostname": "--hostname",
    "id-token": "--tailscale-client-id and --tailscale-audience",
}
_SECRET: Final = ("auth-key", "authkey", "client-secret", "id-token")
_VARIABLES: Final[Mapping[str, str]] = {
    "accept-dns": "TS_ACCEPT_DNS",
    "advertise-routes": "TS_ROUTES",
    "audience": "TS_AUDIENCE",
    "auth-key": "TS_AUTHKEY",
    "authkey": "TS_AUTHKEY",
    "client-id": "TS_CLIENT_ID",
    "client-secret": "TS_AUTHKEY",
    "hostname": "TS_HOSTNAME",
    "id-token": "TS_ID_TOKEN",
}

_NAME: Final = re.compile(r"--?(?P<name>[a-z0-9][a-z0-9-]*)(?:=(?P<value>.*))?", re.DOTALL)


def flags(text: str) -> dict[str, str]:
    """Return the flags in a text with their values, `true` for a switch; what is not a flag is left out."""
    return dict(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    parts = text.split()
    while parts:
        if not (match := _NAME.fullmatch(parts.pop(0))):
            continue
        name, value = match["name"], match["value"]
        if value is None and name in _WITH_VALUE and parts:
            value = parts.pop(0)
        yield name, "true" if value is None else value


def is_on(value: str | None) -> bool:
    """Say whether a switch with this value is on; `None` stands for one that is not given."""
    return value is not None and value.lower() in ("true", "t", "1")


def problems(text: str) -> Iterator[str]:
    """Yield what is wrong with the arguments: no text holds a value that was given."""
    if IN_TEXT.search(text):
        yield "there is a key in it, in clear for everyone who sees the configuration: give it as --tailscale-auth-key"
    if '"' in text or "'" in text:
        yield "there are quotes in it: the service splits it at blanks, and takes quotes as part of a value"
    parts, seen = text.split(), set[str]()
    while parts:
        part = parts.pop(0)
        match = _NAME.fullmatch(part)
        if not match:
            yield (
                f"after {len(seen)} flags there is a word that is not a flag: `tailscale up` refuses it (flags begin "
                "with --, and a switch takes its value behind =, as in --accept-routes=false)"
            )
            return
        name, value = match["name"], match["value"]
        if name in _WITH_VALUE and value is None:
            if not parts:
                yield f"--{name} has no value"
            else:
                parts.pop(0)
        if name in seen:
            yield f"--{name} is given twice"
        seen.add(name)
        yield from _problems_of(name)


def _problems_of(name: str) -> Iterator[str]:
    if name in INSTEAD:
        clear = ", and puts it there in clear" if name in _SECRET else ""
        yield f"--{name} sets what {_VARIABLES[name]} sets{clear}: give it as {INSTEAD[name]} instead"
    elif name in _OF_SET:
        yield f"--{name} is a flag of `tailscale set`, which `tailscale up` refuses: leave it out"
    elif name not in _SWITCHES | _WITH_VALUE:
        close = nearest(name, _SWITCHES | _WITH_VALUE)
        yield f"--{name} is not a flag of `tailscale up`" + (f": did you mean --{close}?" if close else "")
