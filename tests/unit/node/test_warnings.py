"""What a variant's configuration is warned of."""

from __future__ import annotations

from typing import Any

import pytest

from ci.node.machine_config import make_machine_config
from ci.node.request import NodeSettings
from ci.node.tailscale import Asked, settings
from tests.unit.node.test_machine_config import files
from tests.unit.planning import builtin


def warnings(name: str = "spin-tailscale", **asked: Any) -> list[str]:
    chosen, node = builtin(name), NodeSettings(subnets=("192.168.1.0/24",))
    made = make_machine_config(chosen, "v1.13.6", settings(chosen, Asked(**asked)), node=node)
    return [text.split("\n")[0] for text in made.warnings]


KEY = (
    "TS_AUTHKEY of service tailscale is a placeholder: put its value there before you apply this, "
    "or give --tailscale-auth-key"
)


JOIN = "CozyStack's join network {} lies inside 100.64.0.0/10, which Tailscale keeps for itself: on"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [JOIN.format("100.64.0.0/16"), KEY]),
        ({"has_auth_key": True}, [JOIN.format("100.64.0.0/16")]),
        ({"has_auth_key": True, "join_cidr": "100.127.0.0/16"}, [JOIN.format("100.127.0.0/16")]),
        ({"has_auth_key": True, "join_cidr": "100.0.0.0/8"}, [JOIN.format("100.0.0.0/8")]),
        ({"has_auth_key": True, "join_cidr": "100.128.0.0/16"}, []),
        ({"has_auth_key": True, "join_cidr": "172.30.0.0/16"}, []),
        ({"has_auth_key": True, "join_cidr": "fd00:100:64::/112"}, []),
        ({"has_auth_key": True, "arguments": "--ssh --netfilter-mode=off"}, []),
        ({"has_auth_key": True, "arguments": "--netfilter-mode nodivert"}, []),
        ({"has_auth_key": True, "arguments": "--netfilter-mode=on"}, [JOIN.format("100.64.0.0/16")]),
    ],
)
def test_the_join_network_and_a_missing_key_are_warned_of(asked: dict[str, Any], expected: list[str]) -> None:
    assert warnings(**asked) == expected


def test_a_worker_is_warned_of_nothing() -> None:
    assert warnings("spin-only") == []


def test_the_warning_stands_in_the_file_with_the_ways_out() -> None:
    head = files("spin-tailscale")["node.yaml"].split("\n\n")[0]
    assert "# WARNING: CozyStack's join network" in head
    for way in ("--join-cidr", "networking.joinCIDR", "disable-linux-cgnat-drop-rule", "--netfilter-mode=off"):
        assert way in head
    assert all(line.startswith("#") for line in head.splitlines())


def test_a_file_with_the_key_in_it_says_so() -> None:
    said = "# This file holds an auth key: keep it from sight.\n"
    assert said in files("spin-tailscale", has_auth_key=True)["node.yaml"]
    assert said not in files("spin-tailscale")["node.yaml"]
