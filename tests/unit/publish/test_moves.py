"""Which tags may be moved to what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.arch import Arch
from ci.common.errors import UserError
from ci.common.oci import INDEX, MANIFEST
from ci.execute import publish
from ci.plan.images import KINDS, image_spec
from ci.plan.model import SecureBoot
from ci.publish.address import parse_address
from ci.publish.client import Registry
from ci.publish.moves import check_moves
from ci.publish.push import digest_of
from tests.unit.planning import plan_of, request
from tests.unit.publish.fake import FakeRegistry

if TYPE_CHECKING:
    from ci.plan.model import Plan

TAG = "spin-only-v1.13.6-v1.6.2"


def manifest(annotations: dict[str, str]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": annotations}).encode()


def holding(tag: str, *plans: Plan) -> FakeRegistry:
    """A registry with a tag on the image of a plan, or on the index of several."""
    fake = FakeRegistry()
    contents = [manifest(image_spec(plan, KINDS["installer"]).labels) for plan in plans]
    for content in contents:
        fake.manifests[digest_of(content)] = (MANIFEST, content)
    if len(contents) == 1:
        fake.manifests[tag] = (MANIFEST, contents[0])
    else:
        index = {"mediaType": INDEX, "manifests": [{"digest": digest_of(content)} for content in contents]}
        fake.manifests[tag] = (INDEX, json.dumps(index).encode())
    return fake


async def check(fake: FakeRegistry, *plans: Plan, channel: str | None = None, force: bool = False) -> None:
    async with Registry(parse_address("registry.example/lab"), transport=fake.transport, pauses=()) as registry:
        await check_moves(registry, "lab/talos", plans, channel, force=force)


async def arm64(**changes: Any) -> Plan:
    return (await plan_of(request())).model_copy(update=changes)


async def amd64() -> Plan:
    return await plan_of(request(arch=Arch.AMD64))


async def test_a_tag_is_made_where_there_is_none() -> None:
    await check(FakeRegistry(), await arm64(), channel="stable")


async def test_the_same_plan_may_be_published_again_and_with_a_further_architecture() -> None:
    await check(holding(TAG, await arm64()), await arm64())
    await check(holding(TAG, await arm64()), await arm64(), await amd64())
    await check(holding(TAG, await arm64(), await amd64()), await amd64(), await arm64())


async def test_another_plan_does_not_take_a_release_tag() -> None:
    old, new = await arm64(), await arm64(description="of another day")
    said = rf"^the tag lab/talos:{TAG} names other content: it was made of {old.id}, and is now to be {new.id}\. "
    with pytest.raises(UserError, match=said + r"Nothing was tagged\. Publish elsewhere, or move it with --force$"):
        await check(holding(TAG, old), new)
    await check(holding(TAG, old), new, force=True)


async def test_an_architecture_does_not_get_lost() -> None:
    with pytest.raises(UserError, match="names other content"):
        await check(holding(TAG, await arm64(), await amd64()), await arm64())


@pytest.mark.parametrize("content", [b"a word", b"[]", b"{}", b'{"annotations": null}', manifest({"x": "y"})])
@pytest.mark.parametrize("media_type", [MANIFEST, INDEX])
async def test_what_is_not_of_this_project_is_not_replaced(content: bytes, media_type: str) -> None:
    fake = FakeRegistry(manifests={TAG: (media_type, content)})
    with pytest.raises(UserError, match=r"it was made of no plan of this project, and is now to be "):
        await check(fake, await arm64())


async def test_a_channel_moves_from_plan_to_plan() -> None:
    await check(holding("spin-only-stable", await arm64(description="of another day")), await arm64(), channel="stable")
    await check(holding("spin-only-stable", await arm64(), await amd64()), await arm64(), channel="stable")


async def test_a_channel_does_not_move_to_another_variant() -> None:
    fake = holding("spin-only-stable", await plan_of(request("spin-tailscale")))
    said = r"^the tag lab/talos:spin-only-stable names spin-tailscale, and is now to be spin-only\. Nothing was tagged"
    with pytest.raises(UserError, match=said):
        await check(fake, await arm64(), channel="stable")
    await check(fake, await arm64(), channel="stable", force=True)


async def test_a_channel_stays_with_secure_boot_or_without() -> None:
    signed = await arm64(secure_boot=SecureBoot(certificate="5" * 64))
    fake = holding("spin-only-stable", signed)  # moved there by hand
    with pytest.raises(UserError, match="names spin-only for secure boot, and is now to be spin-only"):
        await check(fake, await arm64(), channel="stable")
    # with the keys it has tags of its own
    await check(holding(TAG, await arm64()), signed, channel="stable")


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_tags_are_looked_at_before_anything_is_built_and_again_before_they_are_set(
    monkeypatch: pytest.MonkeyPatch, *, meanwhile: bool
) -> None:
    other, own = holding(TAG, await arm64(description="of another day")), FakeRegistry()
    fake = own if meanwhile else other
    built: list[str] = []

    async def build(*_: object) -> list[Any]:
        built.append("all")
        own.manifests |= other.manifests
        return []

    monkeypatch.setattr(publish, "Registry", lambda *_, **__: Registry(address, transport=fake.transport, pauses=()))  # pyright: ignore
    monkeypatch.setattr(publish, "_build", build)
    address = parse_address("registry.example/lab")
    orders = {KINDS["installer"]: [await arm64()]}
    with pytest.raises(UserError, match="names other content"):
        await publish.publish(orders, cast("Any", None), publish.Destination(address), cast("Any", None))
    assert built == (["all"] if meanwhile else [])
