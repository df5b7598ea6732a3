"""Requests to one registry: blobs and manifests, with retries, and with errors in words."""

from __future__ import annotations

import contextlib
import json
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import urljoin

import anyio
import certifi
import httpx

from ci.distribution.auth import Auth, Credentials
from ci.errors import RegistryError
from ci.oci.spec import INDEX, MANIFEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Container

    from ci.distribution.address import Address

#: Tries of a request that might succeed the next time, and seconds before the second and the third.
PAUSES: Final = (0.5, 2.0)
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_MANIFESTS: Final = f"{MANIFEST}, {INDEX}"
_AGAIN: Final = (429, 500, 502, 503, 504)


class Manifest(NamedTuple):
    """A manifest or an index, as bytes."""

    content: bytes
    media_type: str


def trusted() -> ssl.SSLContext:
    """Return whom TLS trusts: this machine's authorities (`SSL_CERT_FILE` too), and those of Mozilla's list."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Registry:
    """A registry for the time of one publishing; a context manager that closes its connections."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials | None = None,
        *,
        plain_http: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._address = address
        self._host = address.host
        self._auth = Auth(self._host, credentials)
        self._schemes = ["http"] if plain_http else ["https"]
        if address.loopback and not plain_http:
            self._schemes = ["https", "http"]  # as other tools do, TLS or not is found out
        self._pauses = pauses
        self._client = httpx.AsyncClient(
            verify=trusted(), timeout=_TIMEOUT, transport=transport, headers={"User-Agent": "cozystack-talos"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    # --- what is asked ----------------------------------------------------------------------------------------

    async def check_push(self, repository: str) -> None:
        """Raise `RegistryError` where nothing can be pushed to a repository, before anything is built for it."""
        answer = await self._send(repository, "POST", "blobs/uploads/", (202,))
        location = answer.headers.get("Location")
        if location:  # not kept open; who has no use for the request answers it with an error
            with contextlib.suppress(httpx.TransportError):
                await self._once(repository, "DELETE", urljoin(str(answer.url), location))

    async def has_blob(self, repository: str, digest: str) -> bool:
        """Say whether a repository has a blob."""
        return (await self._send(repository, "HEAD", f"blobs/{digest}", (200, 404))).status_code == HTTPStatus.OK

    async def push_blob(
        self, repository: str, digest: str, size: int, content: Callable[[], bytes | AsyncIterable[bytes]]
    ) -> None:
        """Send a blob; `content` is called for each try."""
        for pause in (*self._pauses, None):
            opened = await self._send(repository, "POST", "blobs/uploads/", (202,))
            where = httpx.URL(urljoin(str(opened.url), opened.headers.get("Location", "")))
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            put = where.copy_merge_params({"digest": digest})
            try:
                answer = await self._once(repository, "PUT", str(put), content=content(), headers=headers)
            except httpx.TransportError as error:
                if pause is None:
                    raise self._broken(error, f"{digest} ({size} bytes)") from None
            else:
                if answer.status_code in (201, 204):
                    return
                if pause is None or answer.status_code not in _AGAIN:
                    raise self._refusal(answer, repository)
            await anyio.sleep(pause)

    async def digest(self, repository: str, reference: str) -> str | None:
        """Return the digest of what a tag or a digest names, `None` where there is no such manifest."""
        answer = await self._send(
            repository, "HEAD", f"manifests/{reference}", (200, 404), headers={"Accept": _MANIFESTS}
        )
        if answer.status_code != HTTPStatus.OK:
            return None
        found = answer.headers.get("Docker-Content-Digest")
        return found or (reference if reference.startswith("sha256:") else None)

    async def manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return a manifest, `None` where there is none."""
        answer = await self._send(
            repository, "GET", f"manifests/{reference}", (200, 404), headers={"Accept": _MANIFESTS}
        )
        if answer.status_code != HTTPStatus.OK:
            return None
        return Manifest(answer.content, answer.headers.get("Content-Type", MANIFEST))

    async def push_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Send a manifest under a tag or its digest."""
        await self._send(
            repository,
            "PUT",
            f"manifests/{reference}",
            (201,),
            headers={"Content-Type": manifest.media_type},
            content=manifest.content,
        )

    async def referrers(self, repository: str, digest: str) -> list[dict[str, Any]] | None:
        """Return the descriptors of what refers to a manifest, `None` where the registry has no referrers API."""
        # Who has no such API says so in many ways: 404, 405, a redirect to a page.
        answer = await self._send(repository, "GET", f"referrers/{digest}", range(200, 500))
        if answer.status_code != HTTPStatus.OK or answer.headers.get("Content-Type", "").split(";")[0] != INDEX:
            return None
        return answer.json()["manifests"]

    # --- how --------------------------------------------------------------------------------------------------

    async def _send(
        self, repository: str, method: str, path: str, expected: Container[int], **more: Any
    ) -> httpx.Response:
        """Send a request, again where that may help, and return an expected answer."""
        for pause in (*self._pauses, None):
            try:
                answer = await self._with_scheme(repository, method, path, **more)
            except httpx.ConnectError as error:
                raise self._unreachable(error) from None
            except httpx.TransportError as error:
                if pause is None:
                    raise self._broken(error, f"{method} {path}") from None
            else:
                if answer.status_code in expected:
                    return answer
                if pause is None or answer.status_code not in _AGAIN:
                    raise self._refusal(answer, repository)
            await anyio.sleep(pause)
        raise AssertionError("unreachable")

    async def _with_scheme(self, repository: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Try https, then http, where both are allowed; what answers first is what counts from then on."""
        for scheme in list(self._schemes):
            url = f"{scheme}://{self._address.api_host}/v2/{repository}/{path}"
            try:
                answer = await self._once(repository, method, url, **more)
            except httpx.TransportError as error:
                if scheme == self._schemes[-1] or not _no_tls(error):
                    raise
            else:
                self._schemes = [scheme]
                return answer
        raise AssertionError("unreachable")

    async def _once(self, repository: str, method: str, url: str, **more: Any) -> httpx.Response:
        """Send a request once; where it asks who is there, say so and send it again."""
        headers: dict[str, str] = more.pop("headers", {})
        # Uploads may go elsewhere, where the registry's credentials have no business.
        ours = httpx.URL(url).netloc.decode() == self._address.api_host
        answer = await self._client.request(
            method, url, headers=headers | (self._auth.headers(repository) if ours else {}), **more
        )
        if answer.status_code != HTTPStatus.UNAUTHORIZED or not ours:
            return answer
        await self._auth.answer(self._client, repository, answer)
        if not isinstance(more.get("content", b""), bytes):
            raise httpx.ReadError("asked for credentials in the middle of an upload", request=answer.request)
        answer = await self._client.request(method, url, headers=headers | self._auth.headers(repository), **more)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise self._auth.refused()
        return answer

    # --- in words ---------------------------------------------------------------------------------------------

    def _unreachable(self, error: httpx.ConnectError) -> RegistryError:
        text = str(error) or type(error).__name__
        here = (
            f". {self._host} is here the machine, or the container, that runs this function: with an engine in a "
            "container it is not yours. Name the registry by an address that the engine's containers reach"
        )
        if _no_tls(error):
            hint = ": it does not speak TLS. If it is a registry without, give --plain-http"
            return RegistryError(f"{self._host} can't be asked{hint}")
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return RegistryError(
                f"{self._host} has a certificate that is not trusted ({text}): add its authority to this machine's, or "
                "to the engine's"
            )
        return RegistryError(f"the registry {self._host} can't be reached: {text}" + here * self._address.loopback)

    def _broken(self, error: httpx.TransportError, what: str) -> RegistryError:
        return RegistryError(
            f"the registry {self._host} broke off at {what}: {str(error) or type(error).__name__}. No tag was set by "
            "this; call again, what has arrived is not sent again"
        )

    def _refusal(self, answer: httpx.Response, repository: str) -> RegistryError:
        said = _errors(answer)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            return self._auth.refused()
        if answer.status_code == HTTPStatus.FORBIDDEN:
            return RegistryError(f"{self._host} does not let you push to {repository}{said}")
        if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED or "UNSUPPORTED" in said:
            return RegistryError(f"{self._host} takes no images: it, or {repository}, is read-only{said}")
        asked = f"{answer.request.method} {answer.request.url.path}"
        return RegistryError(f"{self._host} answers {answer.status_code} {answer.reason_phrase} to {asked}{said}")


def _no_tls(error: httpx.TransportError) -> bool:
    return any(sign in str(error) for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "wrong version number"))


def _errors(answer: httpx.Response) -> str:
    """Return what a registry says of an error, in the specification's form."""
    try:
        document: Any = json.loads(answer.content)
        said: list[str] = [f"{one.get('code', '')} {one.get('message', '')}".strip() for one in document["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({'; '.join(said)})" if said else ""
