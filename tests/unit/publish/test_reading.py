"""Reading what others published: all kinds of manifests, limits that are waited for, lists of tags, large blobs."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from ci.common.errors import RegistryError
from ci.publish.address import parse_address
from ci.publish.auth import Credentials
from ci.publish.reading import Reader, retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONTENT = json.dumps({"manifests": []}).encode()
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Answers:
    """A registry that gives answers in their order, the last one again and again."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.waits: list[str] = []

    def reader(self, credentials: Credentials | None = None, longest: float = 120) -> Reader:
        return Reader(
            parse_address("ghcr.io"),
            credentials,
            transport=httpx.MockTransport(self._answer),
            pauses=(),
            waited=self.waits.append,
            longest_wait=longest,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def streamed(content: bytes) -> httpx.Response:
    """Return an answer whose content comes bit by bit."""

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 5):
            yield content[at : at + 5]

    return httpx.Response(200, content=chunks())


def limited(after: str | None) -> httpx.Response:
    return httpx.Response(429, headers={"Retry-After": after} if after is not None else {})


async def test_an_index_of_dockers_kind_is_asked_for_and_its_digest_is_that_of_its_bytes() -> None:
    registry = Answers(httpx.Response(200, content=CONTENT))
    async with registry.reader() as reader:
        found = await reader.image("a/b", "v1")
    assert found is not None
    assert (found[0].content, found[1]) == (CONTENT, DIGEST)
    assert "application/vnd.docker.distribution.manifest.list.v2+json" in registry.asked[0].headers["Accept"]
    assert str(registry.asked[0].url) == "https://ghcr.io/v2/a/b/manifests/v1"


async def test_other_content_under_a_digest_is_refused() -> None:
    registry = Answers(httpx.Response(200, content=CONTENT + b" "))
    async with registry.reader() as reader:
        with pytest.raises(RegistryError, match="has other content"):
            await reader.image("a/b", DIGEST)


async def test_what_is_not_there_is_none() -> None:
    async with Answers(httpx.Response(404)).reader() as reader:
        assert await reader.image("a/b", "v1") is None


async def test_a_limit_is_waited_for_as_long_as_the_registry_says_and_reported() -> None:
    registry = Answers(limited("0"), limited("0"), httpx.Response(200, content=CONTENT))
    async with registry.reader() as reader:
        assert await reader.image("a/b", "v1") is not None
    assert registry.waits == ["ghcr.io limits requests: waiting 0 s"] * 2
    assert len(registry.asked) == 3


async def test_a_limit_of_hours_is_not_waited_for() -> None:
    registry = Answers(limited("21600"))
    async with registry.reader() as reader:
        with pytest.raises(RegistryError, match="asks to wait 21600 s, which is too long"):
            await reader.image("a/b", "v1")
    assert len(registry.asked) == 1


async def test_a_limit_without_an_end_ends() -> None:
    registry = Answers(limited("0"))
    async with registry.reader() as reader:
        with pytest.raises(RegistryError, match="429"):
            await reader.image("a/b", "v1")
    assert len(registry.waits) == 10


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("7", 7.0), (" 7 ", 7.0), ("", None), ("soon", None)),
        *(("Sun, 06 Nov 1994 08:49:37 GMT", 0.0), ("Sun, 29 Nov 2026 00:00:30 GMT", 30.0)),
    ],
)
def test_how_long_a_registry_wants_to_be_waited_for(value: str, seconds: float | None) -> None:
    assert retry_after(value, datetime(2026, 11, 29, tzinfo=UTC)) == seconds


async def test_a_token_is_asked_for_reading_alone() -> None:
    challenge = httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://ghcr.io/token",service="x"'})
    registry = Answers(challenge, httpx.Response(200, json={"token": "t"}), httpx.Response(200, content=CONTENT))
    async with registry.reader() as reader:
        assert await reader.image("a/b", "v1") is not None
    assert registry.asked[1].url.params["scope"] == "repository:a/b:pull"
    assert registry.asked[2].headers["Authorization"] == "Bearer t"


async def test_a_refused_login_names_the_modules_own_arguments() -> None:
    challenge = httpx.Response(401, headers={"WWW-Authenticate": "Basic"})
    async with Answers(challenge).reader() as reader:
        with pytest.raises(RegistryError, match="give --registry-username and --registry-password env:NAME"):
            await reader.image("a/b", "v1")
    async with Answers(challenge).reader(Credentials("me", "x")) as reader:
        with pytest.raises(RegistryError, match="check --registry-username and --registry-password"):
            await reader.image("a/b", "v1")


async def test_tags_come_in_pages() -> None:
    first = httpx.Response(200, json={"tags": ["1", "2"]}, headers={"Link": '</v2/a/b/tags/list?last=2>; rel="next"'})
    registry = Answers(first, httpx.Response(200, json={"tags": ["3"]}))
    async with registry.reader() as reader:
        assert await reader.tags("a/b") == ["1", "2", "3"]
    async with Answers(httpx.Response(200, json={"tags": None})).reader() as reader:
        assert await reader.tags("a/b") == []


async def test_tags_without_an_end_end() -> None:
    page = httpx.Response(200, json={"tags": ["1"]}, headers={"Link": '</v2/a/b/tags/list?last=1>; rel="next"'})
    registry = Answers(page)
    async with registry.reader() as reader:
        assert len(await reader.tags("a/b")) == 20


async def test_a_blob_is_written_where_its_bytes_are_what_its_digest_says() -> None:
    moved = httpx.Response(307, headers={"Location": "https://storage.example.io/x"})
    registry = Answers(moved, streamed(CONTENT))
    out = io.BytesIO()
    async with registry.reader(Credentials("me", "x")) as reader:
        await reader.download("a/b", DIGEST, out, 100)
    assert out.getvalue() == CONTENT
    assert "Authorization" not in registry.asked[1].headers


@pytest.mark.parametrize(
    ("answer", "most", "reason"),
    [
        (streamed(CONTENT), 3, "more than 3 bytes"),
        (streamed(b"x"), 100, "other content"),
        (httpx.Response(404), 100, "404"),
        (httpx.Response(307, headers={"Location": "https://ghcr.io/again"}), 100, "again and again"),
        (httpx.Response(307, headers={"Location": "http://storage.example.io/"}), 100, "without"),
    ],
)
async def test_another_blob_is_refused(answer: httpx.Response, most: int, reason: str) -> None:
    async with Answers(answer).reader() as reader:
        with pytest.raises(RegistryError, match=reason):
            await reader.download("a/b", DIGEST, io.BytesIO(), most)
