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
import logging
import socket
import traceback
from collections.abc import Generator, Mapping
from typing import Any, Protocol, cast

import uvicorn
from graphql import ExecutionResult, GraphQLError

from embedded.engine.errors import EngineError

LIMIT = 256 << 20
"""Bytes of one request at the most."""


class Answerer(Protocol):
    """Who answers queries; `session.py` implements it."""

    @property
    def tokens(self) -> Mapping[str, Any]: ...

    async def answer(
        self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None
    ) -> bytes: ...


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
    # asyncio turns off Nagle's algorithm for sockets that say they are TCP's. With it each answer takes 40 ms: the body
    # waits until the client has acknowledged the headers.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


class Refusal(Exception):  # noqa: N818  an answer, not an error of ours
    """An HTTP status and a text instead of an answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Application:
    """The ASGI application."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            status, kind, body = 200, b"application/json", await self._answer(scope, receive)
        except Refusal as refusal:
            status, kind, body = refusal.status, b"text/plain", f"{refusal}\n".encode()
        except (asyncio.CancelledError, ConnectionError):
            return  # the session ends, or who asked is gone
        except Exception as error:  # a mistake of ours: uvicorn would log it, and its logs are not shown
            text = "".join(traceback.format_exception(error))
            status, kind, body = 500, b"text/plain", text.encode()
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any, receive: Any) -> bytes:
        caller = self._caller(scope["headers"])
        if scope["path"] != "/query" or scope["method"] != "POST":
            raise Refusal(404, "POST a GraphQL query to /query")
        try:
            asked = _request(json.loads(await _body(receive)))
        except (ValueError, RecursionError):
            asked = None
        if asked is None:
            raise Refusal(400, "not a GraphQL request")
        return await self._answerer.answer(caller, *asked)

    def _caller(self, headers: list[tuple[bytes, bytes]]) -> Any:
        given = _token(headers).encode()
        for token, caller in self._answerer.tokens.items():
            if hmac.compare_digest(given, token.encode()):
                return caller
        raise Refusal(401, "the session's token is missing or wrong")


def _request(body: Any) -> tuple[str, dict[str, Any] | None, str | None] | None:
    """Return query, variables and the operation's name; None where the body is not of that form."""
    if not isinstance(body, dict):
        return None
    fields = cast("dict[str, Any]", body)
    query: Any = fields.get("query")
    variables: Any = fields.get("variables")
    operation: Any = fields.get("operationName")
    if not isinstance(query, str) or not isinstance(operation, str | None):
        return None
    if variables is not None and not isinstance(variables, dict):
        return None
    return query, cast("dict[str, Any] | None", variables), operation


async def _body(receive: Any) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LIMIT:
            raise Refusal(413, f"a request has at most {LIMIT} bytes")
    return bytes(body)


class Server(uvicorn.Server):
    """uvicorn on a socket of ours, without its own signal handlers and logs."""

    def __init__(self, answerer: Answerer, listening: socket.socket) -> None:
        # Without a handler Python prints what uvicorn logs: its complaint about each answer that an end cuts short.
        log = logging.getLogger("uvicorn")
        log.propagate = False
        if not log.handlers:
            log.addHandler(logging.NullHandler())
        config = uvicorn.Config(
            Application(answerer),
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
        )
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals belong to the command line."""
        yield

    def end(self) -> None:
        """Stop at once: who still waits for an answer is a process that the session ends too."""
        self.should_exit = self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()

    async def answer_until_stopped(self) -> None:
        await self.serve(sockets=[self._listening])
