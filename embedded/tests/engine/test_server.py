"""The session server's connections."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from embedded.engine import server

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
