"""Asking registries: each manifest once, what is known not again, and what each kind of image means."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ci.common.errors import FileError, RegistryError
from ci.workloads.answers import Answers, answers_text, parse_answers
from ci.workloads.lookup import AT_A_REGISTRY, Fetched, Lookup, by_version, repository_of, tag_of
from ci.workloads.verdict import State, image_state
from tests.unit.workloads.charts import DIGEST
from tests.unit.workloads.images import Images

ARM64 = "arm64"


async def state_of(images: Images, reference: str) -> tuple[State, str]:
    lookup = Lookup(images)
    await lookup.images([reference])
    return image_state(reference, lookup.answers, ARM64)


async def test_an_index_with_arm64_is_there() -> None:
    images = Images()
    images.index("quay.io/a/b", "1", {"linux/amd64": "amd64", "linux/arm64/v8": "arm64"}, attested=True)
    assert await state_of(images, "quay.io/a/b:1") == (State.YES, "")
    assert images.asked == ["quay.io/a/b 1"]


async def test_an_index_without_arm64_says_what_it_has_and_attestations_are_no_platform() -> None:
    images = Images()
    images.index("quay.io/a/b", "1", {"linux/amd64": "amd64"}, attested=True)
    assert await state_of(images, "quay.io/a/b:1") == (State.NO, "it is there for linux/amd64")


@pytest.mark.parametrize(
    "attestation",
    [
        {"platform": {"os": "unknown", "architecture": "unknown"}},
        {
            "platform": {"os": "linux", "architecture": "arm64"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        },
    ],
)
async def test_an_attestation_is_known_by_its_platform_or_by_its_annotation(attestation: dict[str, Any]) -> None:
    images = Images()
    image = images.single("quay.io/a/b", None, "amd64")
    entries = [
        {"digest": image, "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": DIGEST, **attestation},
    ]
    images.put("quay.io/a/b", "1", {"schemaVersion": 2, "manifests": entries})
    assert await state_of(images, "quay.io/a/b:1") == (State.NO, "it is there for linux/amd64")


async def test_windows_on_arm64_is_not_linux_on_arm64() -> None:
    images = Images()
    images.index("quay.io/a/b", "1", {"linux/amd64": "amd64", "windows/arm64": "arm64"})
    assert (await state_of(images, "quay.io/a/b:1"))[0] is State.NO


@pytest.mark.parametrize(
    ("arch", "expected"), [("amd64", (State.NO, "it is made for linux/amd64 alone")), ("arm64", (State.YES, ""))]
)
async def test_an_image_of_one_platform_has_it_in_its_configuration(arch: str, expected: tuple[State, str]) -> None:
    images = Images()
    images.single("quay.io/a/b", "1", arch)
    assert await state_of(images, "quay.io/a/b:1") == expected
    assert images.asked == ["quay.io/a/b 1", "quay.io/a/b blob"]


async def test_what_is_not_there_is_not_known_and_neither_is_what_fails() -> None:
    images = Images()
    images.broken["ghcr.io/a/b"] = RegistryError("ghcr.io asks for a login")
    assert await state_of(images, "quay.io/a/b:1") == (State.UNKNOWN, "its registry has no such image")
    assert await state_of(images, "ghcr.io/a/b:1") == (State.UNKNOWN, "ghcr.io asks for a login")
    images.put("quay.io/a/chart", "1", {"schemaVersion": 2, "config": {}})
    assert (await state_of(images, "quay.io/a/chart:1"))[0] is State.UNKNOWN
    images.put("quay.io/a/empty", "1", {"schemaVersion": 2, "manifests": []})
    assert (await state_of(images, "quay.io/a/empty:1"))[0] is State.UNKNOWN


async def test_a_digest_is_asked_for_by_itself_and_only_once() -> None:
    images = Images()
    digest = images.index("quay.io/a/b", "1", {"linux/arm64": "arm64"})
    references = [f"quay.io/a/b:1@{digest}", f"quay.io/a/b@{digest}", f"quay.io/a/b:2@{digest}"]
    lookup = Lookup(images)
    await lookup.images(references)
    assert images.asked == [f"quay.io/a/b {digest}"]
    assert all(image_state(reference, lookup.answers, ARM64)[0] is State.YES for reference in references)


async def test_recorded_answers_are_taken_without_a_registry() -> None:
    images = Images()
    images.index("quay.io/a/b", "1", {"linux/arm64": "arm64"})
    online = Lookup(images)
    await online.images(["quay.io/a/b:1", "quay.io/a/gone:1"])
    text = answers_text(online.answers)
    offline = Lookup(None, parse_answers(text))
    await offline.images(["quay.io/a/b:1", "quay.io/a/gone:1", "quay.io/a/new:1"])
    assert image_state("quay.io/a/b:1", offline.answers, ARM64) == (State.YES, "")
    assert image_state("quay.io/a/gone:1", offline.answers, ARM64)[1] == "its registry has no such image"
    assert image_state("quay.io/a/new:1", offline.answers, ARM64)[1] == "it is not among the recorded answers"
    assert answers_text(parse_answers('{"answers": ' + text + "}")) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no", "not JSON"),
        ("[]", "no recorded answers"),
        ('{"format": 9}', "format 9: this version reads format 1"),
        ('{"format": 1, "manifests": {"x": 1}}', "no recorded answers: manifests.x"),
    ],
)
def test_a_file_that_has_no_answers_is_refused(text: str, reason: str) -> None:
    with pytest.raises(FileError, match=reason):
        parse_answers(text)


class Slow(Images):
    """Registries that take their time; `most` is how many requests one had at a time."""

    now = 0
    most = 0

    async def manifest(self, repository: str, reference: str) -> Fetched | None:
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.sleep(0.001)
        self.now -= 1
        return await super().manifest(repository, reference)


async def test_a_registry_is_asked_several_things_at_a_time_but_not_all() -> None:
    images = Slow()
    references: list[str] = []
    for number in range(40):
        images.index(f"quay.io/a/b{number}", "1", {"linux/arm64": "arm64"})
        references.append(f"quay.io/a/b{number}:1")
    lookup = Lookup(images)
    await lookup.images(references)
    assert len(lookup.answers.manifests) >= 1
    assert images.most == AT_A_REGISTRY


async def test_the_newest_tag_with_the_architecture() -> None:
    images = Images()
    images.single("quay.io/a/b", "v1.9.0", "amd64")
    images.index("quay.io/a/b", "v1.10.0", {"linux/amd64": "amd64", "linux/arm64": "arm64"})
    images.index("quay.io/a/b", "v1.8.0", {"linux/arm64": "arm64"})
    images.single("quay.io/a/b", "latest", "amd64")
    images.single("quay.io/a/never", "v1.0.0", "amd64")
    lookup = Lookup(images)
    await lookup.newest(["quay.io/a/b", "quay.io/a/never"], "linux/arm64")
    assert lookup.answers.newest["quay.io/a/b linux/arm64"].tag == "v1.10.0"
    assert lookup.answers.newest["quay.io/a/never linux/arm64"].tag is None


def test_versions_are_in_the_order_of_their_numbers() -> None:
    tags = ["latest", "v1.9.0", "v1.10.0", "v2.0.0-rc.1", "sha256-abc.sig", "1.2"]
    assert by_version(tags) == ["v1.10.0", "v1.9.0", "1.2", "v2.0.0-rc.1"]


def test_parts_of_references() -> None:
    assert repository_of(f"localhost:5000/a/b:1@{DIGEST}") == "localhost:5000/a/b"
    assert (tag_of(f"localhost:5000/a/b:1@{DIGEST}"), tag_of(f"a.io/b@{DIGEST}")) == ("1", "latest")


def test_no_answers_are_answers() -> None:
    assert parse_answers(answers_text(Answers())) == Answers()
