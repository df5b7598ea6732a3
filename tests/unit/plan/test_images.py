"""What images are called and say of themselves; what a netboot image serves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ci.common.arch import Arch
from ci.common.errors import UpstreamError, UserError
from ci.common.references import PinnedImage, Reference
from ci.load.upstream import Matchbox
from ci.plan import netboot as matchbox
from ci.plan.images import KINDS, channel_tag, image_spec, labels, parse_channel, parse_kinds, release_tag
from ci.plan.model import Origin, SecureBoot
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request, upstream

BASE = PinnedImage(reference="quay.io/poseidon/matchbox:v0.11.0", digest=digest("7"))
#: CozyStack's own has these, and more, for amd64.
PROFILE = """{
  "id": "default",
  "name": "default",
  "boot": {
    "kernel": "/assets/vmlinuz",
    "initrd": ["/assets/initramfs.xz"],
    "args": ["initrd=initramfs.xz", "pti=on", "console=tty0", "console=ttyS0", "talos.platform=metal"]
  }
}
"""
CMDLINE = "talos.platform=metal console=ttyAMA0 console=tty0 selinux=1\n"


async def test_a_tag_names_variant_talos_and_cozystack() -> None:
    plan = await plan_of(request("spin-tailscale"))
    assert release_tag(plan) == "spin-tailscale-v1.13.6-v1.6.2"
    assert channel_tag(plan, "stable") == "spin-tailscale-stable"


async def test_a_tag_says_whether_secure_boot_is_wanted() -> None:
    plan = (await plan_of(request())).model_copy(update={"secure_boot": SecureBoot(certificate="5" * 64)})
    assert release_tag(plan) == "spin-only-v1.13.6-v1.6.2-secureboot"
    assert channel_tag(plan, "stable") == "spin-only-stable-secureboot"
    assert labels(plan, KINDS["assets"], None)["io.cozystack.talos.secureboot"] == "5" * 64


@pytest.mark.parametrize(
    ("origin", "tag"),
    [
        (Origin(where="given as --upstream", commit="abcdef0123456789" * 2), "spin-only-v1.13.6-abcdef012345"),
        (Origin(where="given as --upstream"), "spin-only-v1.13.6-local"),
        (Origin(where="x", release="v1.7.0+build/1"), "spin-only-v1.13.6-v1.7.0-build-1"),
    ],
)
async def test_a_tag_of_no_release_says_what_is_known(origin: Origin, tag: str) -> None:
    assert release_tag((await plan_of(request())).model_copy(update={"origin": origin})) == tag


async def test_a_tag_that_registries_would_refuse_is_refused() -> None:
    plan = (await plan_of(request())).model_copy(update={"variant": "v" * 120})
    with pytest.raises(UserError, match=r"has \d+ characters, 128 are possible"):
        release_tag(plan)


async def test_an_image_says_what_it_is_made_of() -> None:
    plan = await plan_of(request(outputs=("installer",)))
    assert labels(plan, KINDS["installer"], plan.installer_base) == {
        "org.opencontainers.image.title": "Talos installer (spin-only)",
        "org.opencontainers.image.description": f"Talos installer, Talos v1.13.6: {plan.description}",
        "org.opencontainers.image.version": "v1.13.6",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.source": "https://example.org/cozystack",
        "org.opencontainers.image.revision": "c" * 40,
        "org.opencontainers.image.base.name": "ghcr.io/siderolabs/installer-base:v1.13.6",
        "org.opencontainers.image.base.digest": digest("2"),
        "io.cozystack.talos.variant": "spin-only",
        "io.cozystack.talos.role": "worker",
        "io.cozystack.talos.extensions": ",".join(f"{one.name}:{one.version}" for one in plan.extensions),
        "io.cozystack.talos.cozystack": "v1.6.2",
        "io.cozystack.talos.plan": plan.id,
    }


async def test_what_is_not_known_is_not_said() -> None:
    plan = (await plan_of(request())).model_copy(update={"origin": Origin(where="given as --upstream")})
    missing = {"source", "revision", "base.name", "base.digest"}
    said = labels(plan, KINDS["assets"], None)
    assert not {f"org.opencontainers.image.{name}" for name in missing} & set(said)
    assert "io.cozystack.talos.cozystack" not in said


async def test_stand_ins_say_so_twice() -> None:
    plan = (await plan_of(request())).model_copy(update={"stand_in": True})
    said = labels(plan, KINDS["matchbox"], BASE)
    assert said["io.cozystack.talos.stand-in"] == "true"
    assert said["org.opencontainers.image.description"].startswith("STAND-IN: ")


async def test_an_image_is_of_its_plans_architecture_and_time() -> None:
    spec = image_spec(await plan_of(request(arch=Arch.AMD64)), KINDS["matchbox"], BASE)
    assert (spec.arch, spec.created) == (Arch.AMD64, 1700000000)
    assert spec.labels["org.opencontainers.image.base.name"] == "quay.io/poseidon/matchbox:v0.11.0"


def test_images_are_asked_for_by_name() -> None:
    assert [kind.repository for kind in parse_kinds(["matchbox,installer", "assets"])] == [
        "talos", "talos-assets", "matchbox",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"^unknown image 'installers': did you mean installer"):
        parse_kinds(["installers"])
    with pytest.raises(UserError, match=r"^no image is asked for: choose from installer, assets, matchbox$"):
        parse_kinds([","])


def test_a_channel_is_a_word() -> None:
    assert [parse_channel(text) for text in ("stable", "next", "vnext", "secureboots")] == [
        "stable", "next", "vnext", "secureboots",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "Stable", "v1", "1", "stable-2", "a.b", "latest!", "secureboot"])
def test_a_channel_that_could_be_taken_for_another_tag_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^bad channel"):
        parse_channel(text)


# Matchbox


@pytest.mark.parametrize(
    ("tag", "base"),
    [
        ("v1.6.2", "quay.io/poseidon/matchbox:v0.11.0"),
        ("v0.38.2", "quay.io/poseidon/matchbox:v0.10.0"),
    ],
)
def test_the_netboot_servers_image_is_upstreams(tag: str, base: str) -> None:
    theirs = upstream(tag)
    assert theirs.matchbox
    assert matchbox.need(replace(theirs, matchbox=replace(theirs.matchbox, base=None))).candidates[0].tagged == (
        "quay.io/poseidon/matchbox:v0.11.0"
    )
    named = Reference(*base.split(":"))
    assert matchbox.need(replace(theirs, matchbox=replace(theirs.matchbox, base=named))).candidates == (named,)


@pytest.mark.parametrize("found", [None, Matchbox(None, {}, {})])
def test_a_checkout_without_profiles_makes_no_netboot_image(found: Matchbox | None) -> None:
    with pytest.raises(UpstreamError, match="images/matchbox: no profiles"):
        matchbox.need(replace(upstream("v1.6.2"), matchbox=found))


def test_profiles_have_the_imagers_arguments_and_groups_stay() -> None:
    group = '{"id": "default", "profile": "default"}'
    theirs = replace(upstream("v1.6.2"), matchbox=Matchbox(None, {"default.json": group}, {"default.json": PROFILE}))
    found = matchbox.files(theirs, CMDLINE)
    assert found["var/lib/matchbox/groups/default.json"] == group
    profile = json.loads(found["var/lib/matchbox/profiles/default.json"])
    assert profile == {
        "id": "default",
        "name": "default",
        "boot": {
            "kernel": "/assets/vmlinuz",
            "initrd": ["/assets/initramfs.xz"],
            "args": ["initrd=initramfs.xz", "talos.platform=metal", "console=ttyAMA0", "console=tty0", "selinux=1"],
        },
    }


def test_what_the_imager_cannot_know_stays_in_a_profile() -> None:
    theirs = '{"boot": {"args": ["talos.config=http://x/${uuid}", "talos.platform=nocloud", "pti=on", "initrd=i"]}}'
    assert json.loads(matchbox.with_arguments(theirs, ["talos.platform=metal"], "f"))["boot"]["args"] == [
        "talos.config=http://x/${uuid}", "initrd=i", "talos.platform=metal",
    ]  # fmt: skip


def test_a_profile_that_boots_nothing_stays_as_it_is() -> None:
    assert matchbox.with_arguments('{"id": "x"}', ["a"], "f") == '{"id": "x"}'


@pytest.mark.parametrize("boot", ["[]", '{"args": 1}', "null"])
def test_a_profile_of_another_shape_is_refused(boot: str) -> None:
    with pytest.raises(UpstreamError, match=r"^profiles/x.json: boot is no object with a list `args`$"):
        matchbox.with_arguments(f'{{"boot": {boot}}}', ["a"], "profiles/x.json")
