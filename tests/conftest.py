"""What all tests share."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_engine_no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the unit test that opens a connection: to an engine, to a registry, to anything.

    The SDK finds its session by two environment variables and speaks TCP; taking both away leaves no way there. The
    failure is no `Exception`, so that no handler in the tested code can swallow it.
    """
    if request.node.get_closest_marker("engine"):
        yield
        return

    def refuse(_socket: socket.socket, address: object) -> NoReturn:
        pytest.fail(f"a unit test tried to connect to {address!r}: give it a fake, or mark it `engine`")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.delenv("DAGGER_SESSION_PORT", raising=False)
    monkeypatch.delenv("DAGGER_SESSION_TOKEN", raising=False)
    yield
