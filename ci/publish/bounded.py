"""An HTTP client whose requests end: a server that is silent, slow without end, or that answers without end.

httpx limits each read, which a byte now and then satisfies for ever. Here the whole of an answer has a limit, too.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import anyio
import certifi
import httpx

from ci.common.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: How long a server may be silent, in seconds; --network-seconds sets it.
SECONDS: Final = 60.0
#: So many times the limit for a whole answer, and once more for each MiB that is sent.
_PATIENCE: Final = 3
#: So many times the limit for something large, such as a layer.
_LARGE: Final = 30
#: Bytes of an answer: what is read are manifests, tokens, lists and documents; a signed SBOM is the largest.
LARGEST: Final = 64 << 20
#: Headers of an answer that say how its body came.
_ENCODING: Final = ("content-encoding", "transfer-encoding", "content-length")


def trusted() -> ssl.SSLContext:
    """Return whom TLS trusts: this machine's authorities (`SSL_CERT_FILE` too), and those of Mozilla's list."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Client(httpx.AsyncClient):
    """Sends requests, and gives whole answers only. Raises `RegistryError` for what does not end."""

    def __init__(
        self,
        seconds: float = SECONDS,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None = None,
    ) -> None:
        super().__init__(
            verify=trusted(),
            timeout=httpx.Timeout(seconds),
            transport=transport,
            mounts=mounts,
            headers={"User-Agent": "cozystack-talos", "Accept-Encoding": "identity"},
        )
        self._seconds = seconds

    async def send(self, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:  # noqa: ARG002 (it reads the answer itself)
        """Send a request and read its answer."""

        async def whole() -> httpx.Response:
            answer = await super(Client, self).send(request, stream=True, **more)
            try:
                return await _whole(answer)
            finally:
                await answer.aclose()

        return await self._ended(request, self._limit(request), whole)

    async def pour(self, url: httpx.URL, headers: Mapping[str, str], take: Callable[[bytes], None]) -> httpx.Response:
        """Ask for something large and give its bytes to `take` as they come; return the answer without them.

        An answer other than 200 is returned whole. `take` may raise where it has enough.
        """
        request = self.build_request("GET", url, headers=headers)

        async def poured() -> httpx.Response:
            answer = await super(Client, self).send(request, stream=True)
            try:
                if answer.status_code != HTTPStatus.OK:
                    return await _whole(answer)
                async for part in answer.aiter_raw():
                    take(part)
                return httpx.Response(answer.status_code, request=request)
            finally:
                await answer.aclose()

        return await self._ended(request, self._seconds * _LARGE, poured)

    async def _ended(
        self, request: httpx.Request, limit: float, work: Callable[[], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """Do the work of a request within a limit of seconds."""
        try:
            with anyio.fail_after(limit):
                return await work()
        except httpx.TimeoutException:
            raise RegistryError(f"{_host(request)} did not answer for {self._seconds:g} s {_asked(request)}") from None
        except TimeoutError:
            raise RegistryError(
                f"{_host(request)} did not end its answer within {limit:g} s {_asked(request)}"
            ) from None

    def _limit(self, request: httpx.Request) -> float:
        size = request.headers.get("Content-Length", "0")
        return self._seconds * (_PATIENCE + (int(size) >> 20 if size.isdecimal() else 0))


async def _whole(answer: httpx.Response) -> httpx.Response:
    """Read an answer; return it as one that has its body."""
    parts: list[bytes] = []
    size = 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > LARGEST:
            raise RegistryError(
                f"{_host(answer.request)} answers {answer.request.method} {answer.request.url.path} with more than "
                f"{LARGEST >> 20} MiB: it, or what is in front of it, is no registry"
            )
        parts.append(part)
    headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _ENCODING]
    return httpx.Response(
        answer.status_code,
        headers=headers,
        content=b"".join(parts),
        request=answer.request,
        extensions={key: value for key, value in answer.extensions.items() if key == "reason_phrase"},
    )


def _host(request: httpx.Request) -> str:
    return request.url.netloc.decode()


def _asked(request: httpx.Request) -> str:
    return (
        f"({request.method} {request.url.path}): check that it can be reached and that no proxy is in between; "
        "publish waits longer with --network-seconds"
    )
