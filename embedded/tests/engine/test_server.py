"""The session server's connections."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from embedded.engine import server

TOP = Path(__file__).parents[3]

REQUEST = b"POST /query HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: 16\r\n\r\n" % b64encode(b"t:")


class Echo:
    """Answers each query with itself."""

    tokens: Mapping[str, Any] = {"t": None}

    async def answer(self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None) -> bytes:
        return query.encode()


async def test_an_answer_does_not_wait_for_acknowledgements() -> None:
    listening = server.bind()
    listener = server.Server(Echo(), listening)
    serving = asyncio.create_task(listener.answer_until_stopped())
    try:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(REQUEST + b'{"query": "{a}"}')
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        (connection,) = listener.server_state.connections
        accepted = connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        writer.close()
        await reader.read()
    finally:
        listener.end()
        await asyncio.gather(serving, return_exceptions=True)


class Mistaken(Echo):
    """Fails."""

    async def answer(self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None) -> bytes:
        raise KeyError("a slip of ours")


def test_what_uvicorn_logs_is_not_printed() -> None:
    """In a process without pytest, which has handlers of its own where Python prints for want of any."""
    program = (
        "import logging; from embedded.engine import server; from embedded.tests.engine.test_server import Echo;"
        "server.Server(Echo(), server.bind()); logging.getLogger('uvicorn.error').error('a complaint')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stderr == ""


async def test_a_mistake_of_the_engine_is_told_to_who_asked() -> None:
    listening = server.bind()
    listener = server.Server(Mistaken(), listening)
    serving = asyncio.create_task(listener.answer_until_stopped())
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(REQUEST.replace(b"16", b"22") + b'{"query": "{mistake}"}')
    assert await reader.readline() == b"HTTP/1.1 500 Internal Server Error\r\n"
    assert b"KeyError: 'a slip of ours'" in await reader.readuntil(b"ours'")
    writer.close()
    listener.end()
    await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": 5}',
        b'{"query": null}',
        b'{"query": ["{a}"]}',
        b"{}",
        b"[]",
        b"5",
        b'"{a}"',
        b"null",
        b"{",
        b"\xff",
        b"",
        b"[" * 100_000,
        b'{"query": "{a}", "variables": []}',
        b'{"query": "{a}", "variables": "x"}',
        b'{"query": "{a}", "operationName": 5}',
    ],
    ids=range(15),
)
async def test_what_is_not_a_graphql_request_is_a_bad_request(body: bytes) -> None:
    status, text = await ask(body)
    assert (status, text) == (400, b"not a GraphQL request\n")


@pytest.mark.parametrize(
    "rest", [b"", b', "variables": null, "operationName": null', b', "variables": {"a": 1}, "more": 5']
)
async def test_what_may_stand_in_a_request_besides(rest: bytes) -> None:
    assert await ask(b'{"query": "{a}"' + rest + b"}") == (200, b"{a}")


async def ask(body: bytes) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Basic " + b64encode(b"t:"))]
    await server.Application(Echo())({"headers": headers, "path": "/query", "method": "POST"}, receive, send)
    return sent[0]["status"], sent[1]["body"]
