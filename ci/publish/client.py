"""Requests to one registry: blobs and manifests, with retries, and with errors in words."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import httpx

from ci.common.errors import RegistryError
from ci.common.oci import INDEX, MANIFEST
from ci.common.text import escaped
from ci.publish.auth import Auth, Credentials
from ci.publish.bounded import SECONDS, Client
from ci.publish.origin import REDIRECTS, location, next_page, origin, parse_url
from ci.publish.sending import PAUSES, again, follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Container, Mapping

    from ci.publish.address import Address

    #: What a request sends; a callable is called for each try.
    Content = bytes | Callable[[], bytes | AsyncIterable[bytes]]

_MANIFESTS: Final = f"{MANIFEST}, {INDEX}"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
#: Characters of what a registry says of an error.
_LONGEST_WORDS: Final = 500
#: Answers of registries without a referrers API.
_NO_REFERRERS: Final = (400, 404, 405)


class Manifest(NamedTuple):
    """A manifest or an index, as bytes."""

    content: bytes
    media_type: str


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
        seconds: float = SECONDS,
    ) -> None:
        self._address = address
        self._host = address.host
        self._auth = Auth(self._host, credentials, pauses)
        self._schemes = ["http"] if plain_http else ["https"]
        if address.loopback and not plain_http:
            self._schemes = ["https", "http"]  # as other tools do, TLS or not is found out
        self._pauses = pauses
        self._client = Client(seconds, transport=transport, mounts=_unproxied(address))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    # --- what is asked ----------------------------------------------------------------------------------------

    async def check_push(self, repository: str) -> None:
        """Raise `RegistryError` where nothing can be pushed to a repository, before anything is built for it."""
        opened = await self._send(repository, "POST", "blobs/uploads/", (202,))
        where = location(opened)
        # Not kept open, but whether that succeeds says nothing of pushing. A challenge is not answered:
        # `distribution` wants a token for `delete` here, which those who may only push are not given.
        with contextlib.suppress(RegistryError, httpx.TransportError, httpx.InvalidURL):
            await self._request(repository, "DELETE", where)

    async def has_blob(self, repository: str, digest: str) -> bool:
        """Say whether a repository has a blob."""
        # Who redirects to a storage has it; not everybody who can push can also reach the storage.
        expected = (200, 404, *REDIRECTS)
        answer = await self._send(repository, "HEAD", f"blobs/{digest}", expected, leave=False)
        return answer.status_code == HTTPStatus.OK or answer.has_redirect_location

    async def push_blob(
        self, repository: str, digest: str, size: int, content: Callable[[], bytes | AsyncIterable[bytes]]
    ) -> None:
        """Send a blob; `content` is called for each try."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}

        async def once() -> httpx.Response:
            opened = await self._send(repository, "POST", "blobs/uploads/", (202,))
            where = location(opened).copy_merge_params({"digest": digest})
            return await self._once(repository, "PUT", where, content=content, headers=headers)

        await self._tried(repository, once, f"{digest} ({size} bytes)", (201, 204))

    async def blob(self, repository: str, digest: str) -> bytes | None:
        """Return a small blob, `None` where there is none; raises `RegistryError` where it is another one."""
        answer = await self._send(repository, "GET", f"blobs/{digest}", (200, 404))
        if answer.status_code != HTTPStatus.OK:
            return None
        return self._checked(answer.content, digest)

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
        if reference.startswith("sha256:"):
            self._checked(answer.content, reference)
        return Manifest(answer.content, answer.headers.get("Content-Type", MANIFEST))

    async def push_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Send a manifest under a tag or its digest, and return whether the registry lists it at its subject.

        A manifest without a subject is listed nowhere.
        """
        answer = await self._send(
            repository,
            "PUT",
            f"manifests/{reference}",
            (201,),
            headers={"Content-Type": manifest.media_type},
            content=manifest.content,
        )
        return "OCI-Subject" in answer.headers

    async def referrers(self, repository: str, digest: str) -> list[dict[str, Any]] | None:
        """Return the descriptors of what refers to a manifest, `None` where the registry has no referrers API."""
        found: list[dict[str, Any]] = []
        # Who has no such API says so in many ways; one is a page, here or elsewhere. What is not among them (a token
        # that may not read, a registry that is busy) says nothing of the API.
        answer = await self._send(
            repository, "GET", f"referrers/{digest}", (200, *_NO_REFERRERS, *REDIRECTS), leave=False
        )
        if answer.status_code != HTTPStatus.OK or not _is_index(answer):
            return None
        seen = {answer.url}
        while True:
            found += _descriptors(answer)
            following = next_page(answer)
            if following is None:
                return found
            if following in seen:
                raise RegistryError(f"{self._host} lists what refers to {digest} without an end: {following} again")
            seen.add(following)
            answer = await self._send(repository, "GET", following, (200,), leave=False)

    # --- how --------------------------------------------------------------------------------------------------

    async def _send(
        self, repository: str, method: str, path: str | httpx.URL, expected: Container[int], **more: Any
    ) -> httpx.Response:
        """Send a request, again where that may help, and return an expected answer."""

        async def once() -> httpx.Response:
            if isinstance(path, httpx.URL):
                return await self._once(repository, method, path, **more)
            return await self._with_scheme(repository, method, path, **more)

        return await self._tried(repository, once, f"{method} {path}", expected)

    async def _tried(
        self, repository: str, once: Callable[[], Awaitable[httpx.Response]], what: str, expected: Container[int]
    ) -> httpx.Response:
        try:
            answer = await again(self._pauses, once)
        except httpx.ConnectError as error:
            raise self._unreachable(error) from None
        except httpx.TransportError as error:
            raise self._broken(error, what) from None
        if answer.status_code not in expected:
            raise self._refusal(answer, repository)
        return answer

    async def _with_scheme(self, repository: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Try https, then http, where both are allowed; what answers first is what counts from then on."""
        for scheme in list(self._schemes):
            url = self._base(scheme).join(f"/v2/{repository}/{path}")
            try:
                answer = await self._once(repository, method, url, **more)
            except httpx.TransportError as error:
                if scheme == self._schemes[-1] or not _no_tls(error):
                    raise
            else:
                self._schemes = [scheme]
                return answer
        raise AssertionError("unreachable")

    async def _once(
        self, repository: str, method: str, url: httpx.URL, *, leave: bool = True, **more: Any
    ) -> httpx.Response:
        """Send a request once, and where it is redirected to; without `leave`, to the registry only."""
        return await follow(lambda step: self._identified(repository, method, step, **more), url, leave=leave)

    async def _identified(self, repository: str, method: str, url: httpx.URL, **more: Any) -> httpx.Response:
        """Send a request; where the registry asks for a login, log in and send it again."""
        answer = await self._request(repository, method, url, **more)
        if answer.status_code != HTTPStatus.UNAUTHORIZED or not self._ours(url):
            return answer
        await self._auth.answer(self._client, repository, answer)
        answer = await self._request(repository, method, url, **more)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise self._auth.refused()
        return answer

    async def _request(
        self,
        repository: str,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
    ) -> httpx.Response:
        # Uploads and downloads may go elsewhere, where the registry's credentials have no business.
        known = self._auth.headers(repository) if self._ours(url) else {}
        body = content() if callable(content) else content
        return await self._client.request(method, url, headers={**(headers or {}), **known}, content=body)

    def _base(self, scheme: str) -> httpx.URL:
        return parse_url(f"{scheme}://{self._address.api_host}", f"the address {self._address}")

    def _ours(self, url: httpx.URL) -> bool:
        """Say whether an address is the registry's: its scheme too, or a password went without TLS."""
        return any(origin(url) == origin(self._base(scheme)) for scheme in self._schemes)

    @staticmethod
    def _checked(content: bytes, digest: str) -> bytes:
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise RegistryError(
                f"what the registry gives as {digest} has other content: the registry is broken, or not to be trusted"
            )
        return content

    # --- in words ---------------------------------------------------------------------------------------------

    def _unreachable(self, error: httpx.ConnectError) -> RegistryError:
        text = str(error) or type(error).__name__
        elsewhere = self._elsewhere(error)
        if elsewhere:
            return RegistryError(f"{self._host} redirects to {elsewhere}, which can't be reached from here: {text}")
        here = (
            f". {self._host} is here the machine, or the container, that runs this function: with an engine in a "
            "container it is not yours. Name the registry by an address that the engine's containers reach"
        )
        if _no_tls(error):
            hint = ": it does not speak TLS. If the registry has no TLS, give --plain-http"
            return RegistryError(f"{self._host} does not answer{hint}")
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return RegistryError(
                f"{self._host} has a certificate that is not trusted ({text}): add its authority to this machine's, or "
                "to the engine's"
            )
        return RegistryError(f"the registry {self._host} can't be reached: {text}" + here * self._address.loopback)

    def _elsewhere(self, error: httpx.TransportError) -> str:
        """Return the server that failed where it is not the registry, else nothing."""
        try:
            url = error.request.url
        except RuntimeError:  # the error names no request
            return ""
        return "" if url.host == self._base("https").host else url.netloc.decode()

    def _broken(self, error: httpx.TransportError, what: str) -> RegistryError:
        return RegistryError(
            f"the registry {self._host} closed the connection at {what}: {str(error) or type(error).__name__}. No "
            "tag was set; call again: what has arrived is not sent again"
        )

    def _refusal(self, answer: httpx.Response, repository: str) -> RegistryError:
        said = _errors(answer)
        asked = f"{answer.request.method} {answer.request.url.path}"
        answered = f"answers {answer.status_code} {answer.reason_phrase} to {asked}{said}"
        if not self._ours(answer.url):
            return RegistryError(f"{self._host} redirects to {answer.url.netloc.decode()}, which {answered}")
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            return self._auth.refused()
        if answer.status_code == HTTPStatus.FORBIDDEN:
            verb = "read" if answer.request.method in ("GET", "HEAD") else "push to"
            return RegistryError(f"{self._host} does not let you {verb} {repository}{said}")
        if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED or "UNSUPPORTED" in said:
            return RegistryError(f"{self._host} accepts no images: it, or {repository}, is read-only{said}")
        if answer.has_redirect_location:
            answered += f", and names another address: {answer.headers['Location']}"
        return RegistryError(f"{self._host} {answered}")


def _unproxied(address: Address) -> dict[str, None]:
    """Return what no proxy is asked for: loopback, which to a proxy is its own machine. Go's programs do the same."""
    own = re.sub(r":[0-9]+$", "", address.host)
    return {f"all://{host}": None for host in (*_LOOPBACK, *([own] if address.loopback else []))}


def _is_index(answer: httpx.Response) -> bool:
    return answer.headers.get("Content-Type", "").split(";")[0].strip() == INDEX


def _descriptors(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        return list(json.loads(answer.content)["manifests"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(
            f"{answer.url.netloc.decode()} answers {answer.url.path} with something that is not an image index: check "
            "the registry, or a proxy in front of it"
        ) from None


def _no_tls(error: httpx.TransportError) -> bool:
    return any(sign in str(error) for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "wrong version number"))


def _errors(answer: httpx.Response) -> str:
    """Return what a registry says of an error, in the specification's form."""
    try:
        document: Any = json.loads(answer.content)
        said: list[str] = [f"{one.get('code', '')} {one.get('message', '')}".strip() for one in document["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({escaped('; '.join(said), most=_LONGEST_WORDS)})" if said else ""
