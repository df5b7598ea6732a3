"""Logins to registries: whole ones, and what is said of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.api import in_words
from ci.common.errors import UserError
from ci.execute.registry import Login, parse_login
from ci.main import CozystackTalos
from tests.unit.engine import engine_error

if TYPE_CHECKING:
    import dagger

SECRET = cast("dagger.Secret", object())


def test_without_arguments_nobody_logs_in() -> None:
    assert parse_login(None, None, None) is None


@pytest.mark.parametrize(
    "address", ["ghcr.io", "registry.example.com:5000", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"]
)
def test_a_whole_login_is_taken(address: str) -> None:
    assert parse_login(address, "me", SECRET) == Login(address, "me", SECRET)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("ghcr.io", None, None), "--registry-username, --registry-password"),
        ((None, "me", SECRET), "--registry"),
        (("ghcr.io", "", SECRET), "--registry-username"),
        (("", None, None), "--registry, --registry-username, --registry-password"),
    ],
)
def test_a_part_of_a_login_is_refused(arguments: Any, missing: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_login(*arguments)
    assert str(raised.value) == f"a login needs registry, user name and password: give {missing} too"


@pytest.mark.parametrize("address", ["https://ghcr.io", "ghcr.io/me", "ghcr.io/", "me@ghcr.io", "a b", ":5000"])
def test_more_than_a_host_and_a_port_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"^bad registry .*: write its host"):
        parse_login(address, "me", SECRET)


def test_a_part_of_a_login_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UserError):
        CozystackTalos(upstream=None, registry="ghcr.io")


@pytest.mark.parametrize("answer", ["HEAD https://r.example/v2/a: 401 Unauthorized", "a: authentication required"])
def test_a_registry_that_asks_for_a_login_is_answered_with_the_arguments(answer: str) -> None:
    first, *rest = str(in_words(engine_error(answer))).splitlines()
    assert first == answer
    assert rest == [
        (
            "The registry asks for a login, or for another one: give --registry, --registry-username and "
            "--registry-password"
        )
    ]
