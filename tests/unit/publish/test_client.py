"""What registries answer with beside what was asked: redirects, challenges, addresses that lead astray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ci.common.errors import RegistryError
from ci.common.oci import MANIFEST
from ci.publish.address import parse_address
from ci.publish.auth import Credentials
from ci.publish.client import Manifest, Registry
from ci.publish.push import digest_of
from tests.unit.publish.fake import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REPOSITORY = "lab/talos"
ME = Credentials("me", "right")
BLOB = b"layer"
DIGEST = digest_of(BLOB)
UPLOAD = "/v2/lab/talos/blobs/uploads/1?state=x"


class Answers:
    """A registry that answers as a test says; `asked` are method, address, and what it was told of who asks."""

    def __init__(
        self, answer: Callable[[httpx.Request], httpx.Response], address: str = "registry.example/lab"
    ) -> None:
        self._answer = answer
        self._address = address
        self.asked: list[tuple[str, str, str | None]] = []

    def registry(self, credentials: Credentials | None = ME, **more: Any) -> Registry:
        async def answer(request: httpx.Request) -> httpx.Response:
            await request.aread()
            self.asked.append((request.method, str(request.url), request.headers.get("Authorization")))
            return self._answer(request)

        transport = httpx.MockTransport(answer)
        more = {"pauses": (0.0, 0.0), **more}
        return Registry(parse_address(self._address), credentials, transport=transport, **more)

    @property
    def hosts_told(self) -> set[str]:
        """Who was sent credentials: scheme and host."""
        return {"/".join(url.split("/")[:3]) for _, url, known in self.asked if known}


def basic(inner: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "elsewhere.example" or "Authorization" in request.headers:
            return inner(request)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    return answer


def upload_at(location: str | None) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, headers={} if location is None else {"Location": location})
        return httpx.Response(201)

    return answer


async def refusal(call: Awaitable[object]) -> str:
    with pytest.raises(RegistryError) as raised:
        await call
    return str(raised.value)


# Cleaning up


async def test_a_registry_that_lets_nobody_delete_can_be_pushed_to() -> None:
    fake = FakeRegistry(password="right", token_server=True, delete_needs_more=True)
    async with Registry(parse_address("registry.example/lab"), ME, transport=fake.transport, pauses=()) as registry:
        await registry.check_push(REPOSITORY)
    assert fake.asked == ["POST blobs/uploads/"]


@pytest.mark.parametrize("fault", [401, 403, 500, httpx.ReadError("gone")])
async def test_an_upload_that_cannot_be_ended_is_asked_to_once(fault: int | httpx.ReadError) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, headers={"Location": UPLOAD})
        if isinstance(fault, int):
            return httpx.Response(fault, headers={"WWW-Authenticate": 'Basic realm="x"'})
        raise fault

    answers = Answers(answer)
    async with answers.registry() as registry:
        await registry.check_push(REPOSITORY)
    assert [method for method, _, _ in answers.asked] == ["POST", "DELETE"]


# Redirects


async def test_what_is_on_another_server_is_found_there_without_the_password() -> None:
    fake = FakeRegistry(password="right", storage=True)
    fake.blobs[DIGEST] = BLOB
    content = b'{"schemaVersion":2}'
    fake.manifests["stable"] = (MANIFEST, content)
    async with Registry(parse_address("registry.example/lab"), ME, transport=fake.transport, pauses=()) as registry:
        assert await registry.has_blob(REPOSITORY, DIGEST)
        assert not await registry.has_blob(REPOSITORY, digest_of(b""))
        assert await registry.blob(REPOSITORY, DIGEST) == BLOB
        assert await registry.blob(REPOSITORY, digest_of(b"")) is None
        assert await registry.digest(REPOSITORY, "stable") == digest_of(content)
        assert await registry.manifest(REPOSITORY, "stable") == Manifest(content, MANIFEST)
    assert fake.leaked == []


async def test_a_blob_at_a_storage_is_there_without_asking_the_storage() -> None:
    answers = Answers(lambda _: httpx.Response(307, headers={"Location": "https://elsewhere.example/x?signed"}))
    async with answers.registry() as registry:
        assert await registry.has_blob(REPOSITORY, DIGEST)
    assert len(answers.asked) == 1


async def test_a_redirect_on_the_registry_itself_is_followed_with_the_password() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/moved"):
            return httpx.Response(404)
        return httpx.Response(301, headers={"Location": f"/moved{request.url.path}"})

    answers = Answers(basic(answer))
    async with answers.registry() as registry:
        assert not await registry.has_blob(REPOSITORY, DIGEST)
    assert answers.asked[-1] == ("HEAD", f"https://registry.example/moved/v2/lab/talos/blobs/{DIGEST}", ME.header)


async def test_an_upload_that_is_redirected_is_sent_again_whole() -> None:
    got = list[bytes]()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT" and request.url.host == "registry.example":
            return httpx.Response(307, headers={"Location": "https://elsewhere.example/put"})
        if request.method == "PUT":
            got.append(request.content)
        return upload_at(UPLOAD)(request)

    answers = Answers(basic(answer))
    async with answers.registry() as registry:
        await registry.push_blob(REPOSITORY, DIGEST, len(BLOB), lambda: BLOB)
    assert (got, answers.hosts_told) == ([BLOB], {"https://registry.example"})


async def test_redirects_that_do_not_end_are_told() -> None:
    answers = Answers(lambda request: httpx.Response(302, headers={"Location": str(request.url)}))
    async with answers.registry() as registry:
        said = await refusal(registry.manifest(REPOSITORY, "stable"))
    assert said.startswith("registry.example redirects a request 5 times, at last to registry.example")
    assert len(answers.asked) == 5


async def test_a_push_that_is_sent_on_for_good_is_told_with_the_address() -> None:
    answers = Answers(lambda _: httpx.Response(301, headers={"Location": "https://new.example/v2/"}))
    async with answers.registry() as registry:
        assert await refusal(registry.check_push(REPOSITORY)) == (
            "registry.example answers 301 Moved Permanently to POST /v2/lab/talos/blobs/uploads/, and names another "
            "address: https://new.example/v2/"
        )


async def test_a_storage_that_is_not_reached_or_refuses_is_named() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "elsewhere.example":
            if request.url.path == "/down":
                raise httpx.ConnectError("no route", request=request)
            return httpx.Response(403)
        where = "down" if "stable" in request.url.path else "up"
        return httpx.Response(307, headers={"Location": f"https://elsewhere.example/{where}"})

    async with Answers(answer).registry() as registry:
        assert await refusal(registry.manifest(REPOSITORY, "stable")) == (
            "registry.example redirects to elsewhere.example, which can't be reached from here: no route"
        )
        assert await refusal(registry.manifest(REPOSITORY, "other")) == (
            "registry.example redirects to elsewhere.example, which answers 403 Forbidden to GET /up"
        )


# Who is told the password


@pytest.mark.parametrize("host", ["registry.example", "elsewhere.example"])
async def test_nothing_goes_without_tls_after_an_upload_was_opened_with_it(host: str) -> None:
    answers = Answers(basic(upload_at(f"http://{host}{UPLOAD}")))
    async with answers.registry() as registry:
        for call in (
            registry.check_push(REPOSITORY),
            registry.push_blob(REPOSITORY, DIGEST, len(BLOB), lambda: BLOB),
        ):
            said = await refusal(call)
            assert said.startswith(
                f"registry.example is asked with TLS, and redirects to {host} without: "
                f"http://{host}/v2/lab/talos/blobs/uploads/1. Neither images nor passwords are sent there;"
            )
    assert {url for _, url, _ in answers.asked} == {"https://registry.example/v2/lab/talos/blobs/uploads/"}


async def test_a_redirect_to_no_tls_is_not_followed() -> None:
    answers = Answers(lambda _: httpx.Response(307, headers={"Location": "http://registry.example/x"}))
    async with answers.registry() as registry:
        assert "redirects to registry.example without" in await refusal(registry.manifest(REPOSITORY, "stable"))
    assert len(answers.asked) == 1


@pytest.mark.parametrize("location", [f"https://registry.example:8443{UPLOAD}", f"https://elsewhere.example{UPLOAD}"])
async def test_another_port_and_another_host_are_not_told_the_password(location: str) -> None:
    answers = Answers(basic(upload_at(location)))
    async with answers.registry() as registry:
        await registry.check_push(REPOSITORY)
    assert answers.hosts_told == {"https://registry.example"}


@pytest.mark.parametrize(
    "address", ["registry.example:443/lab", "Registry.Example/lab", "registry.example/lab", "REGISTRY.EXAMPLE:443/lab"]
)
async def test_one_registry_in_several_spellings_is_told_the_password(address: str) -> None:
    for location in (UPLOAD, f"https://registry.example{UPLOAD}", f"https://Registry.example:443{UPLOAD}"):
        answers = Answers(basic(upload_at(location)), address)
        async with answers.registry() as registry:
            await registry.push_blob(REPOSITORY, DIGEST, len(BLOB), lambda: BLOB)
        assert answers.hosts_told == {"https://registry.example"}


def test_credentials_do_not_show_the_password() -> None:
    assert repr(ME) == "Credentials(username='me')"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://[bad", "registry.example names an address that can't be used: 'http://[bad'."),
        ("ftp://registry.example/x", "registry.example names an address that can't be used: 'ftp://registry.example/x'."),
        (None, "registry.example answers 202 to POST /v2/lab/talos/blobs/uploads/ and does not say where to go on:"),
    ],
)  # fmt: skip
async def test_an_upload_without_an_address_is_told(location: str | None, said: str) -> None:
    async with Answers(upload_at(location)).registry() as registry:
        assert (await refusal(registry.check_push(REPOSITORY))).startswith(said)
        assert (await refusal(registry.push_blob(REPOSITORY, DIGEST, 5, lambda: BLOB))).startswith(said)


@pytest.mark.parametrize("address", ["127.0.0.1:5000", "127.3.2.1:5000", "localhost:5000", "[::1]:5000", "r.example"])
async def test_no_proxy_is_asked_for_loopback(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxied = list[bool]()

    async def answer(transport: Any, request: httpx.Request) -> httpx.Response:
        proxied.append("Proxy" in type(transport._pool).__name__)
        return httpx.Response(202, headers={"Location": UPLOAD}, request=request)

    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    async with Registry(parse_address(address), pauses=()) as registry:
        await registry.check_push(REPOSITORY)
    assert set(proxied) == {address == "r.example"}


async def test_a_document_is_checked_by_its_digest() -> None:
    answers = Answers(lambda _: httpx.Response(200, content=b"another"))
    async with answers.registry() as registry:
        for call in (registry.blob(REPOSITORY, DIGEST), registry.manifest(REPOSITORY, DIGEST)):
            assert (await refusal(call)).startswith(f"what the registry gives as {DIGEST} has other content")
