"""Settings of Tailscale's service: what they become, what is refused, and what is warned of."""

from __future__ import annotations

from typing import Any

import pytest

from ci.common.errors import UserError
from ci.node import tailnet
from ci.node.keys import kind_of
from ci.node.machine_config import make_machine_config
from ci.node.request import NodeSettings
from ci.node.tailscale import Asked, environment, service_of, settings
from tests.unit.planning import builtin, variant

ROUTER = builtin("spin-tailscale")
JOIN = "172.30.0.0/16"
SERVICE = "configuration:\n  extensionServices:\n    - name: tailscale\n      reason: r\n      environment: [{}]\n"


def told(**asked: Any) -> dict[str, str]:
    service = service_of(ROUTER)
    assert service is not None
    return environment(service, settings(ROUTER, Asked(**asked)))


def refusal(key: str | None = None, version: str | None = None, **asked: Any) -> str:
    known = None if key is None else kind_of(key)
    with pytest.raises(UserError) as raised:
        settings(ROUTER, Asked(has_auth_key=key is not None, **asked), key=known, tailscale_version=version)
    return str(raised.value)


def warned(key: str = "tskey-auth-x", subnets: tuple[str, ...] = ("192.168.1.0/24",), **asked: Any) -> list[str]:
    asked = {"join_cidr": JOIN, **asked}
    made = settings(ROUTER, Asked(has_auth_key="client_id" not in asked, **asked), key=kind_of(key))
    return list(make_machine_config(ROUTER, "v1.13.6", made, node=NodeSettings(subnets)).warnings)


# What they become


@pytest.mark.parametrize(
    ("asked", "variables"),
    [
        ({"login_server": "https://headscale.example.com"},
         {"TS_EXTRA_ARGS": "--login-server=https://headscale.example.com"}),
        ({"accept_routes": True}, {"TS_EXTRA_ARGS": "--accept-routes=true"}),
        ({"accept_routes": False, "arguments": "--ssh"}, {"TS_EXTRA_ARGS": "--ssh --accept-routes=false"}),
        ({"accept_dns": True}, {"TS_ACCEPT_DNS": "true"}),
        ({"accept_dns": False}, {"TS_ACCEPT_DNS": "false"}),
        ({"tags": ["router, tag:arm"]}, {"TS_EXTRA_ARGS": "--advertise-tags=tag:router,tag:arm"}),
        ({"login_server": "http://10.0.0.1:8080", "accept_routes": True, "tags": ["a"]},
         {"TS_EXTRA_ARGS": "--login-server=http://10.0.0.1:8080 --accept-routes=true --advertise-tags=tag:a"}),
    ],
)  # fmt: skip
def test_a_setting_becomes_a_variable(asked: dict[str, Any], variables: dict[str, str]) -> None:
    plain = told()
    assert {name: value for name, value in told(**asked).items() if plain.get(name) != value} == variables


def test_identity_federation_takes_the_place_of_a_key() -> None:
    values = told(client_id="kabcCNTRL?ephemeral=false", audience="api.tailscale.com/k", tags=["router"])
    assert "TS_AUTHKEY" not in values
    assert (values["TS_CLIENT_ID"], values["TS_AUDIENCE"]) == ("kabcCNTRL?ephemeral=false", "api.tailscale.com/k")
    assert warned(client_id="kabc?ephemeral=false", audience="a", tags=["router"]) == []


def test_a_variants_own_arguments_stay_before_those_that_are_added() -> None:
    chosen = variant(SERVICE.format("{name: TS_EXTRA_ARGS, description: d, value: --ssh}"))
    service = service_of(chosen)
    assert service is not None
    made = settings(chosen, Asked(accept_routes=True))
    assert environment(service, made) == {"TS_EXTRA_ARGS": "--ssh --accept-routes=true"}
    assert environment(service, settings(chosen, Asked())) == {"TS_EXTRA_ARGS": "--ssh"}


# What is refused


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"routes": ["10.0.0.0"]},
         ("--routes: bad network: 10.0.0.0 has no prefix length; write it as 10.0.0.0/8, or 10.0.0.0/32 for one "
          "address")),
        ({"join_cidr": "172.30.0.0"},
         ("--join-cidr: bad network: 172.30.0.0 has no prefix length; write it as 172.30.0.0/16, or 172.30.0.0/32 for "
          "one address")),
        ({"routes": ["0.0.0.0/0"]},
         ("--routes: a default route without its counterpart ::/0 is refused by Tailscale: for an exit node give "
          "--tailscale-args=--advertise-exit-node, otherwise the networks that are meant")),
        ({"arguments": "--advertise-routes=10.0.0.0/8"},
         "--tailscale-args: --advertise-routes sets what TS_ROUTES sets: give it as --routes instead"),
        ({"arguments": "--accept-routes", "accept_routes": True},
         "--accept-routes is given twice: as an argument, and in --tailscale-args: leave out one of them"),
        ({"login_server": "headscale.example.com"},
         "bad login server 'headscale.example.com': write a URL such as https://headscale.example.com"),
        ({"tags": [""]}, "bad tag '': write it as the tailnet's policy has it, such as tag:router"),
        ({"tags": ["tag:1"]}, "bad tag 'tag:1': write it as the tailnet's policy has it, such as tag:router"),
        ({"client_id": "kabc"}, "--tailscale-client-id: it does nothing alone: give --tailscale-audience as well"),
        ({"client_id": "kabc", "audience": "a"},
         "--tailscale-client-id: a node that logs in by identity federation needs a tag: give --advertise-tags"),
        ({"audience": "a"}, "--tailscale-audience: it needs the client's id: give --tailscale-client-id"),
    ],
)  # fmt: skip
def test_a_setting_that_can_not_work_is_refused(asked: dict[str, Any], message: str) -> None:
    assert refusal(**asked) == message


def test_a_key_and_a_client_id_are_not_given_together() -> None:
    assert refusal("tskey-auth-x", client_id="k", audience="a", tags=["t"]) == (
        "--tailscale-client-id: Tailscale takes it or TS_AUTHKEY, not both: leave out one of them"
    )


def test_a_tailscale_that_knows_no_federation_is_named() -> None:
    asked: dict[str, Any] = {"client_id": "k", "audience": "a", "tags": ["t"]}
    assert refusal(version="1.88.1", **asked) == (
        "--tailscale-client-id: Tailscale 1.88.1 in the image does not know it: its service does from 1.94 on. Give an "
        "auth key"
    )
    assert settings(ROUTER, Asked(**asked), tailscale_version="1.98.5").client_id == "k"


@pytest.mark.parametrize("field", ["client_id", "audience", "login_server", "hostname"])
def test_a_key_in_another_setting_is_refused_and_not_shown(field: str) -> None:
    message = refusal(**{field: "tskey-client-SECRET"})
    assert message.endswith("there is a key in it, which would be in clear: give it as --tailscale-auth-key")
    assert "SECRET" not in message


@pytest.mark.parametrize("asked", [{"routes": ["tskey-auth-SECRET"]}, {"join_cidr": "tskey-auth-SECRET"}])
def test_a_key_where_a_network_is_meant_is_not_shown(asked: dict[str, Any]) -> None:
    message = refusal(**asked)
    assert message.endswith(": there is a key in it: give it as --tailscale-auth-key")
    assert "SECRET" not in message


@pytest.mark.parametrize("kind", ["tskey-api-", "tskey-scim-", "tskey-webhook-", "hskey-api-"])
def test_a_secret_that_no_node_logs_in_with_is_refused(kind: str) -> None:
    message = refusal(kind + "SECRET")
    assert message.startswith(f"--tailscale-auth-key: it begins with {kind}: that is ")
    assert "SECRET" not in message


def test_an_oauth_client_needs_a_tag() -> None:
    assert refusal("tskey-client-x") == (
        "--tailscale-auth-key: it is the secret of an OAuth client (tskey-client-…), which needs a tag: give "
        "--advertise-tags"
    )
    assert refusal("tskey-client-x", arguments="--ssh").endswith("give --advertise-tags")
    assert settings(ROUTER, Asked(has_auth_key=True, arguments="--advertise-tags=tag:r"), key=kind_of("tskey-client-x"))


def test_what_a_variant_sets_is_checked_too() -> None:
    for text, message in (
        ("{name: TS_ROUTES, description: d, value: 10.0.0.0}",
         "variants/mine.yaml: TS_ROUTES: bad network: 10.0.0.0 has"),
        ("{name: TS_EXTRA_ARGS, description: d, value: --hostname=x}",
         "variants/mine.yaml: TS_EXTRA_ARGS: --hostname sets what TS_HOSTNAME sets"),
    ):  # fmt: skip
        with pytest.raises(UserError) as raised:
            settings(variant(SERVICE.format(text)), Asked())
        assert str(raised.value).startswith(message)


# What is warned of


def begins(texts: list[str]) -> list[str]:
    return [" ".join(text.split()[:6]) for text in texts]


@pytest.mark.parametrize(
    ("asked", "beginnings"),
    [
        ({}, []),
        ({"subnets": None}, ["Nothing says which of its addresses"]),
        ({"subnets": ("100.64.1.0/24",)}, ["100.64.1.0/24 overlaps 100.64.0.0/10, from which Tailscale"]),
        ({"subnets": ("192.168.1.0/24", "!100.64.0.0/10")}, []),
        ({"subnets": ("0.0.0.0/0",)}, ["0.0.0.0/0 overlaps 100.64.0.0/10, from which Tailscale"]),
        ({"subnets": ("0.0.0.0/0", "!100.64.0.0/10")}, []),
        ({"subnets": ("0.0.0.0/0", "!100.64.0.0/11")},
         ["0.0.0.0/0 overlaps 100.64.0.0/10, from which Tailscale"]),
        ({"subnets": ("100.100.0.0/16", "!100.64.0.0/10")}, []),
        ({"subnets": ("::/0", "!fd7a:115c:a1e0::/48")}, []),
        ({"routes": ["172.30.0.0/24"]}, ["The route 172.30.0.0/24 overlaps CozyStack's join"]),
        ({"routes": ["172.0.0.0/8"]}, ["The route 172.0.0.0/8 overlaps CozyStack's join"]),
        ({"routes": ["100.100.0.0/16"]}, ["The route 100.100.0.0/16 overlaps 100.64.0.0/10, from"]),
        ({"routes": ["192.168.0.0/16"]}, ["The route 192.168.0.0/16 overlaps the nodes'"]),
        ({"routes": ["192.168.0.0/16"], "subnets": ("10.0.0.0/24", "!192.168.1.0/24")}, []),
        ({"accept_routes": True}, ["This node routes networks into the"]),
        ({"arguments": "--accept-routes"}, ["This node routes networks into the"]),
        ({"accept_routes": False}, []),
        ({"accept_dns": True}, ["This node accepts the tailnet's DNS"]),
        ({"key": "tskey-client-x", "tags": ["r"]}, ["This node would be ephemeral: when"]),
        ({"key": "tskey-client-x?ephemeral=false", "tags": ["r"]}, []),
        ({"key": "tskey-auth-x?ephemeral=true"}, ["This node would be ephemeral: when"]),
        ({"client_id": "k", "audience": "a", "tags": ["r"]}, ["This node would be ephemeral: when"]),
        ({"key": "hskey-auth-x"}, ["The auth key is Headscale's, and"]),
        ({"key": "hskey-auth-x", "login_server": "https://hs.example.com"}, []),
        ({"key": "tskey-auth-x", "login_server": "https://hs.example.com"}, ["The auth key is Tailscale's, and"]),
        ({"key": "tskey-auth-x", "login_server": "https://controlplane.tailscale.com"}, []),
        ({"key": "0123"}, ["The auth key does not begin"]),
        ({"key": "0123", "login_server": "https://hs.example.com"}, []),
    ],
)  # fmt: skip
def test_what_is_likely_to_go_wrong_is_warned_of(asked: dict[str, Any], beginnings: list[str]) -> None:
    assert begins(warned(**asked)) == beginnings


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({}, False),
        ({"TS_ROUTES": "10.0.0.0/8"}, False),
        ({"TS_ROUTES": "10.0.0.0/8,fd00::/64"}, True),
        ({"TS_ROUTES": "nonsense"}, False),
        ({"TS_EXTRA_ARGS": "--advertise-exit-node"}, True),
        ({"TS_EXTRA_ARGS": "--advertise-exit-node=false"}, False),
    ],
)
def test_ipv6_routes_need_forwarding(values: dict[str, str], needed: bool) -> None:
    assert tailnet.needs_ipv6_forwarding(values) is needed
