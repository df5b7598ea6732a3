"""A registry that never ends: silent, a byte now and then, an answer without an end."""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ci.common.errors import RegistryError
from ci.publish import bounded
from ci.publish.address import parse_address
from ci.publish.auth import Credentials
from ci.publish.client import Manifest, Registry
from ci.publish.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SECONDS = 0.4
CONNECT = socket.socket.connect
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let httpx reach the servers of this file, which other unit tests may not."""

    def connect(own: socket.socket, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1"
        CONNECT(own, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Generator[str]:
    """Read each request's head, and let `answer` do the rest."""

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[listening.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def trickle(begin: bytes, byte: bytes = b"x") -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(1000):
            connection.sendall(byte)
            time.sleep(SECONDS / 4)

    return answer


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def bomb(connection: socket.socket) -> None:
    body = gzip.compress(b"\0" * (8 << 20))
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    connection.recv(1)


def silent(_connection: socket.socket) -> None:
    time.sleep(60)


def stops(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 9\r\n\r\nx")
    time.sleep(60)


async def asked(host: str, seconds: float = SECONDS, credentials: Credentials | None = None) -> None:
    async with Registry(parse_address(host), credentials, plain_http=True, seconds=seconds) as registry:
        await registry.manifest("a", "b")


SILENT = f"did not answer for {SECONDS:g} s (GET /v2/a/manifests/b): "
SLOW = f"did not end its answer within {3 * SECONDS:g} s (GET /v2/a/manifests/b): "
LARGE = "answers GET /v2/a/manifests/b with more than 1 MiB"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (silent, SILENT),
        (trickle(b""), SLOW),
        (trickle(b"HTTP/1.1 200 OK\r\nX: "), SLOW),
        (trickle(HEAD + b"Content-Length: 5000\r\n\r\n"), SLOW),
        (trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), SLOW),
        (stops, SILENT),
        (endless, LARGE),
        (bomb, LARGE),
    ],
    ids=["silent", "status", "header", "body", "chunks", "stops", "endless", "bomb"],
)
async def test_a_registry_that_does_not_end_is_named_in_time(
    answer: Callable[[socket.socket], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "LARGEST", 1 << 20)
    began = time.monotonic()
    with serving(answer) as host, pytest.raises(RegistryError) as raised:
        await asked(host)
    assert time.monotonic() - began < 10 * SECONDS, "asked once only: who is silent once is silent again"
    assert str(raised.value).startswith(f"{host} {says}")
    assert "publish waits longer with --network-seconds" in str(raised.value) or says == LARGE


async def test_a_token_server_that_is_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(silent) as token_server:
        challenge = f'WWW-Authenticate: Bearer realm="http://{token_server}/token"\r\n'.encode()

        def answer(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n" + challenge + b"\r\n")

        with serving(answer) as host, pytest.raises(RegistryError) as raised:
            await asked(host, credentials=Credentials("me", "secret"))
    assert str(raised.value).startswith(f"{token_server} did not answer for {SECONDS:g} s (GET /token): ")
    assert "secret" not in str(raised.value)


async def test_an_upload_that_nobody_takes_ends() -> None:
    async def for_ever() -> None:
        async with Registry(parse_address(host), plain_http=True, seconds=SECONDS) as registry:
            await registry.push_manifest("a", "b", Manifest(b"x" * (32 << 20), "application/json"))

    with serving(silent) as host, pytest.raises(RegistryError, match="did not answer for"):
        await for_ever()


async def test_what_a_registry_says_of_an_error_is_one_short_line() -> None:
    said = b'{"errors": [{"code": "DENIED", "message": "no\\n\\u001b[2Jok    all.checks passed\\u202e%s"}]}' % (
        b"y" * 10**6
    )

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(said) + said)

    with serving(answer) as host, pytest.raises(RegistryError) as raised:
        await asked(host, 5)
    assert str(raised.value).startswith(
        f"{host} does not let you read a (DENIED no\\n\\x1b[2Jok    all.checks passed\\u202eyyy"
    )
    assert len(str(raised.value)) < 1000
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (silent, f"did not answer for {SECONDS:g} s (GET /v2/a/blobs/sha256:0): "),
        (stops, f"did not answer for {SECONDS:g} s (GET /v2/a/blobs/sha256:0): "),
        (trickle(HEAD + b"Content-Length: 5000\r\n\r\n"), "did not end its answer within "),
    ],
    ids=["silent", "stops", "trickles"],
)
async def test_a_blob_that_does_not_come_ends_with_its_registry(
    answer: Callable[[socket.socket], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "_LARGE", 3)

    async def download(host: str) -> None:
        async with Reader(parse_address(host)) as reader:
            reader._client = bounded.Client(SECONDS)  # pyright: ignore[reportPrivateUsage]
            reader._schemes = ["http"]  # pyright: ignore[reportPrivateUsage]
            await reader.download("a", "sha256:0", io.BytesIO(), 1 << 20)

    with serving(answer) as host, pytest.raises(RegistryError) as raised:
        await download(host)
    assert str(raised.value).startswith(f"{host} {says}")
