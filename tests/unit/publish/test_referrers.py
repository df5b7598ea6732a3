"""What refers to an image: who keeps the list, all of its pages, and the index for those who keep none."""

from __future__ import annotations

import json

import httpx
import pytest

from ci.common.oci import INDEX, MANIFEST
from ci.publish.address import parse_address
from ci.publish.client import Manifest, Registry
from ci.publish.push import Artifact, Pusher, digest_of
from tests.unit.publish.fake import FakeRegistry
from tests.unit.publish.test_client import DIGEST, REPOSITORY, Answers, refusal

SUBJECT = {"mediaType": MANIFEST, "digest": DIGEST, "size": 5}
SBOM = Artifact("application/spdx+json", b"{}", {"org.opencontainers.image.title": "sbom"})


def index(*names: str, link: str | None = None) -> httpx.Response:
    headers = {"Content-Type": INDEX} | ({"Link": link} if link else {})
    return httpx.Response(200, json={"manifests": [{"digest": name} for name in names]}, headers=headers)


async def test_all_pages_of_referrers_are_read() -> None:
    fake = FakeRegistry(referrers=True, page=2)
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        pusher = Pusher(registry, REPOSITORY)
        pushed = [await pusher.artifact(SUBJECT, Artifact("text/plain", str(n).encode(), {})) for n in range(5)]
        assert [one["digest"] for one in await pusher.referrers(DIGEST)] == pushed
    assert fake.asked.count(f"GET referrers/{DIGEST}") == 3


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("<https://elsewhere.example/x>", "registry.example gives a part of a list, and names https://elsewhere.example/x"),
        ("<http://registry.example/x>", "registry.example gives a part of a list, and names http://registry.example/x"),
        (f"</v2/lab/talos/referrers/{DIGEST}>", "registry.example lists what refers to sha256:"),
        ("<http://[bad>", "registry.example names an address that can't be used"),
    ],
)  # fmt: skip
async def test_a_list_that_goes_on_elsewhere_or_without_end_is_told(link: str, said: str) -> None:
    answers = Answers(lambda _: index("sha256:1", link=f'{link}; rel="next"'))
    async with answers.registry() as registry:
        assert (await refusal(registry.referrers(REPOSITORY, DIGEST))).startswith(said)
    assert len(answers.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), "refuses the password of 'me'"),
        (httpx.Response(403), "registry.example does not let you read lab/talos"),
        (httpx.Response(429), "registry.example answers 429 Too Many Requests to GET"),
        (httpx.Response(500), "registry.example answers 500 Internal Server Error to GET"),
        (httpx.Response(200, text="{", headers={"Content-Type": INDEX}), "with something that is not an image index"),
    ],
)
async def test_what_says_nothing_of_the_referrers_api_is_not_taken_for_its_absence(
    answer: httpx.Response, said: str
) -> None:
    async with Answers(lambda _: answer).registry() as registry:
        assert said in await refusal(registry.referrers(REPOSITORY, DIGEST))


async def test_a_busy_registry_is_asked_for_referrers_again() -> None:
    found = [httpx.Response(429), httpx.Response(503), index("sha256:1")]
    async with Answers(lambda _: found.pop(0)).registry() as registry:
        assert await registry.referrers(REPOSITORY, DIGEST) == [{"digest": "sha256:1"}]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>"),
        httpx.Response(303, headers={"Location": "https://pages.example/"}),
        *(httpx.Response(status) for status in (400, 404, 405)),
    ],
)
async def test_a_registry_without_the_referrers_api_is_known_by_its_answer(answer: httpx.Response) -> None:
    answers = Answers(lambda _: answer)
    async with answers.registry() as registry:
        assert await registry.referrers(REPOSITORY, DIGEST) is None
    assert len(answers.asked) == 1


async def test_who_says_that_a_subject_is_listed_is_not_asked_for_the_list() -> None:
    fake = FakeRegistry(referrers=True)
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        await Pusher(registry, REPOSITORY).artifact(SUBJECT, SBOM)
    assert [line for line in fake.asked if "referrers" in line] == []
    assert fake.tags == set()


async def test_who_lists_a_subject_without_saying_so_gets_no_index_of_it() -> None:
    fake = FakeRegistry(referrers=True, tells_subject=False)
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        await Pusher(registry, REPOSITORY).artifact(SUBJECT, SBOM)
    assert [name for name in fake.manifests if name.startswith("sha256-")] == []


async def test_an_index_of_referrers_keeps_what_others_wrote_in_it() -> None:
    fake = FakeRegistry()
    tag = DIGEST.replace(":", "-")
    known = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": "sha256:1"}], "annotations": {"a": "b"}}
    fake.manifests[tag] = (INDEX, json.dumps(known).encode())
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        pushed = await Pusher(registry, REPOSITORY).artifact(SUBJECT, SBOM)
    found = json.loads(fake.manifests[tag][1])
    assert {**found, "manifests": [one["digest"] for one in found["manifests"]]} == {
        **known,
        "manifests": ["sha256:1", pushed],
    }


@pytest.mark.parametrize("content", ['{"mediaType": "x", "config": {}, "layers": []}', "[]", "{", '{"manifests": [1]}'])
async def test_what_is_no_index_in_its_place_is_told_and_left(content: str) -> None:
    fake = FakeRegistry()
    tag = DIGEST.replace(":", "-")
    fake.manifests[tag] = (MANIFEST, content.encode())
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        said = await refusal(Pusher(registry, REPOSITORY).artifact(SUBJECT, SBOM))
    assert said == (
        f"lab/talos:{tag} should be the index of what refers to {DIGEST}, and is something else ({MANIFEST}): see who "
        "pushed it, and remove that tag"
    )
    assert fake.manifests[tag][1] == content.encode()


async def test_a_document_is_read_where_its_type_and_its_size_are_as_told() -> None:
    fake = FakeRegistry(referrers=True)
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        pusher = Pusher(registry, REPOSITORY)
        listed = {"digest": await pusher.artifact(SUBJECT, SBOM), "artifactType": SBOM.artifact_type}
        assert await pusher.document(listed) == SBOM.content
        assert await pusher.document({**listed, "artifactType": "text/plain"}) is None
        assert await pusher.document({**listed, "digest": DIGEST}) is None
        for layers in ("[]", f'[{{"mediaType": "x", "digest": "{DIGEST}", "size": 9000000000}}]'):
            content = f'{{"artifactType": "x", "layers": {layers}}}'.encode()
            await registry.push_manifest(REPOSITORY, digest_of(content), Manifest(content, MANIFEST))
            assert await pusher.document({"digest": digest_of(content), "artifactType": "x"}) is None
        fake.asked.clear()
        for digest in (None, "stable", "../../../v2/", "sha256:" + "0" * 63):
            assert await pusher.document({**listed, "digest": digest}) is None
        assert fake.asked == []
