"""Token servers: asked again where they are busy, told apart from the registry, and never trusted with too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ci.publish.auth import parse_challenge
from tests.unit.publish.test_client import ME, REPOSITORY, UPLOAD, Answers, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

REALM = "https://auth.example/token"


def asking(
    token: Callable[[httpx.Request], httpx.Response], challenge: str = f'Bearer realm="{REALM}",service="s"'
) -> Answers:
    """A registry that wants the token `t`, and its token server."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host != "registry.example" or request.url.path == "/token":
            return token(request)
        if request.headers.get("Authorization") == "Bearer t":
            return httpx.Response(202, headers={"Location": UPLOAD})
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    return Answers(answer)


async def said_by(answers: Answers, **more: Any) -> str:
    async with answers.registry(**more) as registry:
        return await refusal(registry.check_push(REPOSITORY))


@pytest.mark.parametrize("fault", [429, 503, httpx.ReadError("gone")])
async def test_a_busy_token_server_is_asked_again(fault: int | httpx.ReadError) -> None:
    faults = [fault]

    def token(_: httpx.Request) -> httpx.Response:
        if faults:
            fault = faults.pop()
            if isinstance(fault, int):
                return httpx.Response(fault)
            raise fault
        return httpx.Response(200, json={"access_token": "t"})

    async with asking(token).registry() as registry:
        await registry.check_push(REPOSITORY)


SERVER = "the token server of registry.example, auth.example,"
NO_TOKEN = f"{SERVER} answers with application/json in which there is no token"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(429), f"{SERVER} answers 429 Too Many Requests"),
        (httpx.Response(200, html="<html>"), f"{SERVER} answers with text/html; charset=utf-8 in which there is no"),
        (httpx.Response(200, json={}), NO_TOKEN),
        (httpx.Response(200, json=[]), NO_TOKEN),
        (httpx.Response(200, json={"token": 1}), NO_TOKEN),
        (httpx.Response(403), "registry.example refuses the password of 'me'"),
    ],
)  # fmt: skip
async def test_a_token_server_without_a_token_is_named(answer: httpx.Response, said: str) -> None:
    assert (await said_by(asking(lambda _: answer))).startswith(said)


@pytest.mark.parametrize("fault", [httpx.ConnectError("no route"), httpx.ReadError("no route")])
async def test_a_token_server_that_is_not_reached_is_named(fault: httpx.TransportError) -> None:
    def token(_: httpx.Request) -> httpx.Response:
        raise fault

    assert await said_by(asking(token)) == f"{SERVER} can't be reached: no route"


@pytest.mark.parametrize("host", ["auth.example", "other.example"])
async def test_a_token_server_may_send_on_but_not_with_the_password(host: str) -> None:
    def token(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(307, headers={"Location": f"https://{host}/v2-token?x"})
        return httpx.Response(200, json={"token": "t"})

    answers = asking(token)
    async with answers.registry() as registry:
        await registry.check_push(REPOSITORY)
    told = [url for _, url, known in answers.asked if known == ME.header]
    assert [url for url in told if "v2-token" in url] == (["https://auth.example/v2-token?x"] if host[0] == "a" else [])


async def test_a_token_servers_address_keeps_its_own_query() -> None:
    answers = asking(
        lambda _: httpx.Response(200, json={"token": "t"}), f'Bearer realm="{REALM}?account=x",service="s"'
    )
    async with answers.registry() as registry:
        await registry.check_push(REPOSITORY)
    (asked,) = [httpx.URL(url) for _, url, _ in answers.asked if "auth.example" in url]
    assert dict(asked.params) == {"account": "x", "service": "s", "scope": "repository:lab/talos:pull,push"}


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ('Bearer realm=,service="s"', "registry.example, as its token server, names an address that can't be used: ''"),
        ('Bearer service="s"', "registry.example, as its token server, names an address that can't be used: ''"),
        ('Bearer realm="http://[bad"', "registry.example, as its token server, names an address that can't be used"),
        ('Bearer realm="http://auth.example/"', "registry.example names a token server without TLS, to which no pass"),
    ],
)  # fmt: skip
async def test_a_token_server_without_a_usable_address_is_told(challenge: str, said: str) -> None:
    answers = asking(lambda _: httpx.Response(200, json={"token": "t"}), challenge)
    assert (await said_by(answers)).startswith(said)
    assert answers.hosts_told == set()


@pytest.mark.parametrize(
    "header", ['Bearer realm=,service="s"', 'Bearer realm="",service=s', "Bearer realm = ,service=s"]
)
def test_a_challenge_may_have_empty_parameters(header: str) -> None:
    assert parse_challenge(header) == ("bearer", {"realm": "", "service": "s"})
