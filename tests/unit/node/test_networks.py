"""Networks that a person writes."""

from __future__ import annotations

import pytest

from ci.node.networks import NetworkError, is_everything, is_ipv6, overlap, parse_network, split


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.244.0.0/16", "10.244.0.0/16"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("192.168.1.7/32", "192.168.1.7/32"),
        ("FD00::/64", "fd00::/64"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_is_read(text: str, network: str) -> None:
    assert parse_network(text) == network


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.0", "10.0.0.0 has no prefix length; write it as 10.0.0.0/8, or 10.0.0.0/32 for one address"),
        ("10.244.0.0", "10.244.0.0 has no prefix length; write it as 10.244.0.0/16, or 10.244.0.0/32 for one address"),
        ("192.168.1.7",
         "192.168.1.7 has no prefix length; write it as 192.168.1.0/24, or 192.168.1.7/32 for one address"),
        ("fd00::", "fd00:: has no prefix length; write it as fd00::/64, or fd00::/128 for one address"),
        ("10.0.0.5/24", "10.0.0.5/24 has host bits set; write it as 10.0.0.0/24"),
        ("10.0.0.0/33", "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network; write it as 10.244.0.0/16"),
        ("", "'' does not appear to be an IPv4 or IPv6 network; write it as 10.244.0.0/16"),
    ],
)  # fmt: skip
def test_what_is_not_a_network_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(NetworkError) as raised:
        parse_network(text)
    assert str(raised.value) == message


def test_networks_are_compared_within_their_family() -> None:
    assert overlap("10.0.0.0/8", "10.244.0.0/16")
    assert overlap("10.244.3.0/24", "10.244.0.0/16")
    assert not overlap("10.244.0.0/16", "10.96.0.0/16")
    assert not overlap("::/0", "10.0.0.0/8")
    assert is_ipv6("fd00::/64")
    assert not is_ipv6("10.0.0.0/8")
    assert is_everything("::/0")
    assert not is_everything("0.0.0.0/1")


def test_commas_separate_texts_too() -> None:
    assert list(split(["a, b", "", "c,"])) == ["a", "b", "c"]
