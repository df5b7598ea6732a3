"""Reading from a registry, of images that others published: manifests of all kinds, lists of tags, large blobs.

A registry that limits requests (429) says how long to wait (RFC 9110, `Retry-After`); that is waited for, and reported.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import anyio
import httpx

from ci.common.errors import RegistryError
from ci.common.oci import INDEX, MANIFEST
from ci.publish.auth import Auth, Credentials
from ci.publish.bounded import SECONDS
from ci.publish.client import Manifest, Registry
from ci.publish.origin import location, next_page, redirects
from ci.publish.sending import PAUSES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from ci.publish.address import Address

#: What images are published as: OCI's types and Docker's.
_IMAGES: Final = ", ".join(
    (
        INDEX,
        MANIFEST,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
#: Seconds that are waited at a time, and how often, before a registry is given up.
LONGEST_WAIT: Final = 120.0
_WAITS: Final = 10
#: Seconds where a registry that limits requests does not say how long.
_UNSAID: Final = 5.0
#: Bytes of a manifest or a configuration, and pages of a list of tags.
_LARGEST: Final = 8 << 20
_PAGES: Final = 20
_STEPS: Final = 6


class _Written:
    """What was written of a blob; more than `most` bytes are a `RegistryError`."""

    def __init__(self, out: BinaryIO, most: int) -> None:
        self._out = out
        self._most = most
        self._size = 0
        self._hashed = hashlib.sha256()

    def take(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most:
            raise RegistryError(f"a blob has more than {self._most} bytes: it is not read")
        self._hashed.update(part)
        self._out.write(part)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hashed.hexdigest()}"


class Reader(Registry):
    """A registry that is only read from; `waited` is told of each wait."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        pauses: tuple[float, ...] = PAUSES,
        waited: Callable[[str], None] = lambda _: None,
        longest_wait: float = LONGEST_WAIT,
        seconds: float = SECONDS,
    ) -> None:
        super().__init__(address, credentials, transport=transport, pauses=pauses, seconds=seconds)
        options = ("--registry-username", "--registry-password")
        self._auth = Auth(address.host, credentials, pauses, actions="pull", options=options)
        self._waited = waited
        self._longest_wait = longest_wait

    async def image(self, repository: str, reference: str) -> tuple[Manifest, str] | None:
        """Return an image's manifest or index, and its digest; `None` where there is none."""
        answer = await self._send(repository, "GET", f"manifests/{reference}", (200, 404), headers={"Accept": _IMAGES})
        if answer.status_code != HTTPStatus.OK:
            return None
        if len(answer.content) > _LARGEST:
            raise RegistryError(f"{self._host} gives a manifest of {len(answer.content)} bytes (limit {_LARGEST})")
        if reference.startswith("sha256:"):
            self._checked(answer.content, reference)
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        return Manifest(answer.content, answer.headers.get("Content-Type", MANIFEST)), digest

    async def tags(self, repository: str) -> list[str]:
        """Return a repository's tags, as far as some pages have them."""
        found: list[str] = []
        answer = await self._send(repository, "GET", "tags/list?n=1000", (200, 404), leave=False)
        for _ in range(_PAGES):
            if answer.status_code != HTTPStatus.OK:
                break
            found += _tags(answer)
            following = next_page(answer)
            if following is None:
                break
            answer = await self._send(repository, "GET", following, (200, 404), leave=False)
        return found

    async def download(self, repository: str, digest: str, out: BinaryIO, most: int) -> None:
        """Write a blob to a file; raises `RegistryError` for one of more than `most` bytes, and for another content."""
        url = self._base(self._schemes[0]).join(f"/v2/{repository}/blobs/{digest}")
        try:
            for _ in range(_STEPS):
                written = _Written(out, most)
                known = self._auth.headers(repository) if self._ours(url) else {}
                answer = await self._client.pour(url, known, written.take)
                if answer.status_code == HTTPStatus.UNAUTHORIZED and self._ours(url) and not known:
                    await self._auth.answer(self._client, repository, answer)
                elif redirects(answer):
                    url = location(answer)
                elif answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    await self._wait(answer)
                elif answer.status_code != HTTPStatus.OK:
                    raise self._refusal(answer, repository)
                else:
                    if written.digest != digest:
                        raise RegistryError(f"{self._host} gives other content as {digest}")
                    return
        except httpx.TransportError as error:
            raise self._broken(error, f"GET blobs/{digest}") from None
        raise RegistryError(
            f"{self._host} does not come to an end with {digest}: it redirects or refuses again and again"
        )

    async def _tried(
        self, repository: str, once: Callable[[], Awaitable[httpx.Response]], what: str, expected: Container[int]
    ) -> httpx.Response:
        async def patiently() -> httpx.Response:
            answer = await once()
            for _ in range(_WAITS):
                if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    break
                await self._wait(answer)
                answer = await once()
            return answer

        return await super()._tried(repository, patiently, what, expected)

    async def _wait(self, answer: httpx.Response) -> None:
        seconds = retry_after(answer.headers.get("Retry-After", ""))
        seconds = _UNSAID if seconds is None else seconds
        if seconds > self._longest_wait:
            raise RegistryError(
                f"{self._host} limits requests and asks to wait {seconds:.0f} s, which is too long "
                f"(limit {self._longest_wait:.0f} s): log in with --registry, or call again later"
            )
        self._waited(f"{self._host} limits requests: waiting {seconds:.0f} s")
        await anyio.sleep(seconds)


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, as a number or a date; `None` where it says neither."""
    if value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _tags(answer: httpx.Response) -> list[str]:
    try:
        document: Any = json.loads(answer.content)
        tags: Any = document["tags"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(tag) for tag in cast("list[Any]", tags)] if isinstance(tags, list) else []
