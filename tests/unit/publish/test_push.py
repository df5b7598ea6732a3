"""Pushing: by digest first and tags last, nothing twice, and every refusal in words."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ci.common.errors import RegistryError
from ci.common.oci import INDEX, MANIFEST
from ci.publish.address import Address, parse_address
from ci.publish.auth import Credentials, parse_challenge
from ci.publish.client import Manifest, Registry
from ci.publish.push import Artifact, Image, Pusher, make_index
from tests.unit.publish.fake import FakeRegistry

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "lab/talos"
SBOM = Artifact("application/spdx+json", b'{"spdxVersion": "SPDX-2.3"}', {"org.opencontainers.image.title": "sbom"})


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image of a configuration and two layers; the larger is sent in several pieces."""
    contents = [b'{"os":"linux"}', b"layer", b"large" * 500_000]
    for content in contents:
        (tmp_path / hashlib.sha256(content).hexdigest()).write_bytes(content)
    config, *layers = ({"mediaType": "x", "digest": digest(one), "size": len(one)} for one in contents)
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()
    platform = {"os": "linux", "architecture": "arm64"}
    descriptor = {"mediaType": MANIFEST, "digest": digest(manifest), "size": len(manifest), "platform": platform}

    async def fetch() -> Path:
        return tmp_path

    return Image(descriptor, manifest, fetch)


def registry(fake: FakeRegistry, credentials: Credentials | None = None) -> Registry:
    return Registry(Address("registry.example", "lab"), credentials, transport=fake.transport, pauses=(0.0, 0.0))


async def push(fake: FakeRegistry, image: Image, credentials: Credentials | None = None) -> Pusher:
    """What `publish` does for an image with one document and one tag."""
    async with registry(fake, credentials) as client:
        pusher = Pusher(client, REPOSITORY)
        await pusher.image(image)
        await pusher.artifact(image.descriptor, SBOM)
        await pusher.tag("spin-only", Manifest(image.manifest, MANIFEST))
        return pusher


async def test_all_arrives_and_the_tag_comes_last(image: Image) -> None:
    fake = FakeRegistry(referrers=True)
    pusher = await push(fake, image)
    assert set(fake.blobs) == {blob["digest"] for blob in image.blobs} | {digest(b"{}"), digest(SBOM.content)}
    assert fake.manifests["spin-only"] == (MANIFEST, image.manifest)
    assert fake.sent[-1] == "PUT manifests/spin-only"
    assert fake.tags == {"spin-only"}
    assert (pusher.blobs, pusher.manifests) == (5, 3)


async def test_the_same_again_sends_nothing(image: Image) -> None:
    for fake in (FakeRegistry(referrers=True), FakeRegistry()):
        await push(fake, image)
        fake.asked.clear()
        pusher = await push(fake, image)
        assert fake.sent == []
        assert (pusher.blobs, pusher.size, pusher.manifests) == (0, 0, 0)


async def test_blobs_are_not_fetched_where_none_is_missing(image: Image) -> None:
    fake = FakeRegistry()
    await push(fake, image)

    async def fetch() -> Path:
        pytest.fail("nothing is missing")

    await push(fake, Image(image.descriptor, image.manifest, fetch))


async def test_a_document_refers_to_its_image(image: Image) -> None:
    fake = FakeRegistry(referrers=True)
    await push(fake, image)
    (found,) = [json.loads(text) for _, text in fake.manifests.values() if b'"subject"' in text]
    assert found["subject"] == {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    assert found["artifactType"] == found["layers"][0]["mediaType"] == "application/spdx+json"
    assert found["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert fake.blobs[found["layers"][0]["digest"]] == SBOM.content


@pytest.mark.parametrize("status", [303, 400, 404, 405])
async def test_a_registry_without_the_referrers_api_gets_an_index_of_them(status: int, image: Image) -> None:
    fake = FakeRegistry(no_referrers=status)
    await push(fake, image)
    other = Artifact("application/vnd.in-toto+json", b"{}", {})
    async with registry(fake) as client:
        await Pusher(client, REPOSITORY).artifact(image.descriptor, other)
    kind, content = fake.manifests[image.digest.replace(":", "-")]
    assert kind == INDEX
    listed = json.loads(content)["manifests"]
    assert [one["artifactType"] for one in listed] == ["application/spdx+json", "application/vnd.in-toto+json"]
    assert {one["digest"] for one in listed} <= set(fake.manifests)


async def test_a_tag_tells_what_it_named_before(image: Image) -> None:
    fake = FakeRegistry()
    async with registry(fake) as client:
        pusher = Pusher(client, REPOSITORY)
        assert await pusher.tag("stable", Manifest(b"{}", MANIFEST)) is None
        assert await pusher.tag("stable", Manifest(image.manifest, MANIFEST)) == digest(b"{}")
        assert await pusher.tag("stable", Manifest(image.manifest, MANIFEST)) == image.digest


def test_an_index_names_each_platform(image: Image) -> None:
    found: dict[str, Any] = json.loads(make_index([image], {"b": "2", "a": "1"}))
    assert (found["mediaType"], found["manifests"]) == (INDEX, [image.descriptor])
    assert list(found["annotations"]) == ["a", "b"]


# Faults


async def refusal(call: Any) -> str:
    with pytest.raises(RegistryError) as raised:
        await call
    return str(raised.value)


async def test_a_registry_that_dies_in_the_middle_has_no_tag_and_the_next_try_goes_on(image: Image) -> None:
    fake = FakeRegistry(dies=9)
    said = await refusal(push(fake, image))
    assert said == (
        f"the registry registry.example closed the connection at {image.blobs[0]['digest']} (14 bytes): "
        "Connection reset by peer. No tag was set; call again: what has arrived is not sent again"
    )
    assert fake.tags == set()
    fake.dies = 1  # once more, which is not even seen
    await push(fake, image)
    assert fake.tags >= {"spin-only"}


async def test_what_arrived_before_the_end_is_not_sent_again(image: Image) -> None:
    fake = FakeRegistry()
    fake.blobs = {blob["digest"]: b"" for blob in image.blobs[:2]}
    assert (await push(fake, image)).size == len(b"large") * 500_000 + len(b"{}") + len(SBOM.content)


async def test_a_busy_registry_is_asked_again(image: Image) -> None:
    await push(FakeRegistry(busy=2), image)
    assert "answers 503 Service Unavailable to HEAD /v2/lab/talos/blobs/" in await refusal(
        push(FakeRegistry(busy=3), image)
    )


async def test_a_read_only_registry_says_so_before_anything_is_built() -> None:
    async with registry(FakeRegistry(read_only=True)) as client:
        assert await refusal(client.check_push(REPOSITORY)) == (
            "registry.example accepts no images: it, or lab/talos, is read-only (UNSUPPORTED read-only)"
        )


@pytest.mark.parametrize("token_server", [False, True])
async def test_a_password_opens_the_registry(image: Image, *, token_server: bool) -> None:
    fake = FakeRegistry(password="right", token_server=token_server)
    await push(fake, image, Credentials("me", "right"))
    assert "spin-only" in fake.tags


@pytest.mark.parametrize("token_server", [False, True])
async def test_a_wrong_password_is_told_before_anything_is_built(*, token_server: bool) -> None:
    fake = FakeRegistry(password="right", token_server=token_server)
    async with registry(fake, Credentials("me", "wrong-pass")) as client:
        said = await refusal(client.check_push(REPOSITORY))
    assert said == "registry.example refuses the password of 'me': check --username and --password"
    assert fake.asked == []


@pytest.mark.parametrize("token_server", [False, True])
async def test_a_missing_password_is_asked_for(*, token_server: bool) -> None:
    async with registry(FakeRegistry(password="right", token_server=token_server)) as client:
        assert await refusal(client.check_push(REPOSITORY)) == (
            "registry.example asks for a login: give --username and --password env:NAME"
        )


@pytest.mark.parametrize(
    ("host", "raised", "said"),
    [
        ("no.such.example", "[Errno -2] Name or service not known",
         "the registry no.such.example can't be reached: [Errno -2] Name or service not known"),
        ("127.0.0.1:5000", "All connection attempts failed",
         ("the registry 127.0.0.1:5000 can't be reached: All connection attempts failed. 127.0.0.1:5000 is here the "
          "machine, or the container, that runs this function: with an engine in a container it is not yours. Name the "
          "registry by an address that the engine's containers reach")),
        ("r.example", "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
         "r.example does not answer: it does not speak TLS. If the registry has no TLS, give --plain-http"),
        ("r.example", "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate",
         ("r.example has a certificate that is not trusted ([SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate): "
          "add its authority to this machine's, or to the engine's")),
    ],
)  # fmt: skip
async def test_a_registry_that_cannot_be_reached_is_named_with_the_cause(host: str, raised: str, said: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(raised, request=request)

    async with Registry(Address(host, ""), transport=httpx.MockTransport(answer), pauses=()) as client:
        assert await refusal(client.check_push(REPOSITORY)) == said


async def test_on_loopback_it_is_found_out_whether_there_is_tls() -> None:
    fake, asked = FakeRegistry(), list[str]()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.scheme)
        if request.url.scheme == "https":
            raise httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER]", request=request)
        return await fake.transport.handle_async_request(request)

    async with Registry(Address("127.0.0.1:5", ""), transport=httpx.MockTransport(answer), pauses=()) as client:
        await client.check_push(REPOSITORY)
        await client.has_blob(REPOSITORY, digest(b""))
    assert asked == ["https", "http", "http", "http"]


async def test_credentials_do_not_follow_an_upload_to_another_host() -> None:
    fake = FakeRegistry(password="right")

    async def answer(request: httpx.Request) -> httpx.Response:
        found = await fake.transport.handle_async_request(request)
        if request.method == "POST" and found.status_code == 202:
            found.headers["Location"] = "https://elsewhere.example/v2/lab/talos/blobs/uploads/1?state=x"
            fake.password = None
        return found

    client = Registry(
        Address("registry.example", ""), Credentials("me", "right"), transport=httpx.MockTransport(answer), pauses=()
    )
    async with client:
        await client.push_blob(REPOSITORY, digest(b"x"), 1, lambda: b"x")
    assert (fake.leaked, fake.blobs) == ([], {digest(b"x"): b"x"})


def test_challenges_are_read() -> None:
    assert parse_challenge('Bearer realm="https://a/token",service="a, b",scope="x:y:pull,push"') == (
        "bearer",
        {"realm": "https://a/token", "service": "a, b", "scope": "x:y:pull,push"},
    )
    assert parse_challenge("Basic") == ("basic", {})
    assert parse_challenge("") == ("", {})


# Addresses


@pytest.mark.parametrize(
    ("text", "host", "path", "loopback"),
    [
        ("ghcr.io/example", "ghcr.io", "example", False),
        ("ghcr.io/a/b-c/", "ghcr.io", "a/b-c", False),
        ("127.0.0.1:5000", "127.0.0.1:5000", "", True),
        ("localhost:5000/lab", "localhost:5000", "lab", True),
        ("127.3.2.1/x", "127.3.2.1", "x", True),
        ("[::1]:5000/x", "[::1]:5000", "x", True),
        ("registry:5000/x", "registry:5000", "x", False),
        ("10.0.0.1:5000/x", "10.0.0.1:5000", "x", False),
        ("localhost.example.com/x", "localhost.example.com", "x", False),
    ],
)
def test_an_address_is_read(text: str, host: str, path: str, *, loopback: bool) -> None:
    address = parse_address(text)
    assert (address.host, address.path, address.loopback) == (host, path, loopback)
    assert address.repository("talos") == (f"{path}/talos" if path else "talos")


@pytest.mark.parametrize(
    "text",
    ["", "example", "https://ghcr.io/x", "ghcr.io/X", "ghcr.io/x:tag", "ghcr.io/x@sha256:0", "ghcr.io//x", "a b"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match=r"^bad address .*: write REGISTRY/PATH"):
        parse_address(text)


def test_docker_hubs_api_is_elsewhere() -> None:
    assert parse_address("docker.io/me").api_host == "registry-1.docker.io"
