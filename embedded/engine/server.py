"""The session server: GraphQL over HTTP on loopback, for whoever has the session's token.

Basic authentication with a token as user name, as Dagger's clients do it. Each function call has a token of its own,
by which `currentFunctionCall` knows whose call it is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

import uvicorn
from graphql import ExecutionResult, GraphQLError

from embedded.engine.errors import EngineError

LIMIT = 256 << 20
"""Bytes of one request at the most."""


class Answerer(Protocol):
    """Who answers queries; `session.py` implements it."""

    tokens: Mapping[str, Any]

    async def answer(self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None) -> bytes: ...


def formatted(result: ExecutionResult) -> dict[str, Any]:
    """A result as GraphQL over HTTP has it; errors carry the extensions that clients make typed errors of."""
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [_error(error) for error in result.errors]
    return answer


def _error(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    shown = dict(error.formatted)
    if isinstance(cause, EngineError):
        shown["message"] = str(cause)
        if cause.extensions:
            shown["extensions"] = cause.extensions
    return shown


def bind() -> socket.socket:
    """A listening socket on a free port of loopback. Clients that come before the server wait in its queue."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    return listening


def _token(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization" and value[:6].lower() == b"basic ":
            try:
                return base64.b64decode(value[6:]).decode().partition(":")[0]
            except ValueError:
                return ""
    return ""


def application(answerer: Answerer) -> Callable[..., Awaitable[None]]:
    """The ASGI application."""

    def caller_of(scope: Any) -> Any:
        given = _token(scope["headers"]).encode()
        for token, caller in answerer.tokens.items():
            if hmac.compare_digest(given, token.encode()):
                return caller
        return None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def reply(status: int, body: bytes, kind: bytes = b"application/json") -> None:
            headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        caller = caller_of(scope)
        if caller is None:
            return await reply(401, b"the session's token is missing or wrong\n", b"text/plain")
        if scope["path"] != "/query" or scope["method"] != "POST":
            return await reply(404, b"POST a GraphQL query to /query\n", b"text/plain")
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LIMIT:
                return await reply(413, f"a request has at most {LIMIT} bytes\n".encode(), b"text/plain")
        try:
            asked = json.loads(body)
            query: str = asked["query"]
        except (ValueError, KeyError, TypeError):
            return await reply(400, b'{"errors": [{"message": "not a GraphQL request"}]}')
        try:
            answer = await answerer.answer(caller, query, asked.get("variables"), asked.get("operationName"))
        except asyncio.CancelledError:
            return None  # the session ends; who asked is gone or about to go
        return await reply(200, answer)

    return app


class Server(uvicorn.Server):
    """uvicorn on a socket of ours, without its own signal handlers and logs."""

    def __init__(self, answerer: Answerer, listening: socket.socket) -> None:
        config = uvicorn.Config(
            application(answerer),
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the command line."""
        yield

    async def answer_until_stopped(self) -> None:
        await self.serve(sockets=[self._listening])
