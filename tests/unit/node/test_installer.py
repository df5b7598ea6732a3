"""References of installers: what is known to be wrong, what stays open."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.common.arch import Arch
from ci.common.errors import UserError
from ci.common.references import parse_reference
from ci.node.installer import check_installer, mistakes, open_questions
from ci.plan.model import SecureBoot
from ci.report.schematic import schematic, schematic_id
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    from ci.plan.model import Plan

PUBLISHED = "registry.example.com/talos/talos:spin-only-v1.13.6-v1.6.2"
OTHER = "0" * 64


async def plan(name: str = "spin-only", arch: Arch = Arch.ARM64) -> Plan:
    return await plan_of(request(name, arch=arch, outputs=("installer",)))


def reasons(text: str, planned: Plan) -> list[str]:
    return list(mistakes(parse_reference(text), planned))


async def test_what_publish_prints_raises_no_question() -> None:
    assert check_installer(parse_reference(PUBLISHED), await plan()) == ()
    assert check_installer(parse_reference(f"{PUBLISHED}@{digest('a')}"), await plan()) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ghcr.io/siderolabs/installer:v1.13.6", "is Talos's own installer, without any extension: the node would be"),
        ("mirror.example.com/ghcr.io/siderolabs/installer:v1.13.6", "is Talos's own installer, without any extension"),
        (f"ghcr.io/siderolabs/installer@{digest('a')}", "is Talos's own installer, without any extension"),
        ("ghcr.io/siderolabs/installer-base:v1.13.6", "is the base of an installer, without kernel and initramfs"),
        ("ghcr.io/siderolabs/imager:v1.13.6", "is the imager, which makes images and installs nothing"),
        ("ghcr.io/siderolabs/spin:v0.22.0", "is not an installer: the node would be without spin"),
        ("registry.example.com/talos/talos-assets:spin-only-v1.13.6-v1.6.2", "is not an installer (Talos boot assets)"),
        ("ghcr.io/cozystack/cozystack/matchbox:v1.6.2", "is not an installer (Matchbox with Talos boot assets)"),
        ("registry.example.com/talos/talos:spin-only-v1.11.3-v0.38.2",
         "is for Talos v1.11.3, and these patches"),
        ("registry.example.com/talos/talos:spin-only-v1.13.6-rc.1-v1.6.2",
         "is for Talos v1.13.6-rc.1, and these patches"),
    ],
)  # fmt: skip
async def test_what_is_known_to_be_wrong_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UserError) as raised:
        check_installer(parse_reference(text), await plan())
    (message,) = str(raised.value).splitlines()
    assert message.startswith(f"--installer: {text} {reason}")


@pytest.mark.parametrize("owner", ["cozystack", "aenix-io"])
async def test_cozystacks_own_image_is_for_amd64_and_has_not_what_a_variant_adds(owner: str) -> None:
    text = f"ghcr.io/{owner}/cozystack/talos:v1.13.6"
    way = "give the reference that `publish --variant spin-only` prints"
    assert reasons(text, await plan()) == [
        f"{text} is CozyStack's own image, which is for amd64 only, and the nodes are arm64: {way}",
        f"{text} is CozyStack's own image, which does not have spin: {way}",
    ]
    assert reasons(text, await plan(arch=Arch.AMD64)) == [
        f"{text} is CozyStack's own image, which does not have spin: {way}"
    ]
    plain = await plan_of(request(variant(""), arch=Arch.AMD64))
    assert reasons(text, plain) == []
    assert list(open_questions(parse_reference(text), plain)) == []


# The Image Factory


async def test_a_factorys_image_of_the_variants_schematic_is_taken() -> None:
    planned = await plan()
    number = schematic_id(schematic(planned))
    for repository in (
        "factory.talos.dev/metal-installer",
        "factory.talos.dev/installer",
        "factory.example.com/installer",
    ):
        assert check_installer(parse_reference(f"{repository}/{number}:v1.13.6"), planned) == ()


async def test_a_factorys_image_of_another_schematic_or_talos_is_refused() -> None:
    planned = await plan()
    number = schematic_id(schematic(planned))
    text = f"factory.talos.dev/metal-installer/{OTHER}:v1.13.6"
    assert reasons(text, planned) == [
        (
            f"{text} is of another schematic than variant spin-only, whose id is {number} (`schematic --variant "
            "spin-only` prints it)"
        )
    ]
    text = f"factory.talos.dev/metal-installer/{number}:v1.13.5"
    assert reasons(text, planned) == [
        (
            f"{text} is for Talos v1.13.5, and these patches are for v1.13.6: give the reference that `publish "
            "--variant spin-only` prints"
        )
    ]


async def test_a_factorys_image_is_not_signed_with_ones_own_keys() -> None:
    planned = await plan()
    number = schematic_id(schematic(planned))
    signed = f"factory.talos.dev/metal-installer-secureboot/{number}:v1.13.6"
    assert check_installer(parse_reference(signed), planned) == (
        f"--installer: {signed} is signed for secure boot: it boots where the factory's keys are enrolled.",
    )
    secure = planned.model_copy(update={"secure_boot": SecureBoot(certificate="a" * 64)})
    plain = f"factory.talos.dev/metal-installer/{number}:v1.13.6"
    assert reasons(plain, secure) == [f"{plain} is not signed, and what these nodes boot is signed with yours"]
    assert reasons(signed, secure) == [
        f"{signed} is signed with the factory's keys, and what these nodes boot is signed with yours"
    ]


async def test_ones_own_image_is_signed_where_the_nodes_need_it() -> None:
    planned = await plan()
    signed = f"{PUBLISHED}-secureboot"
    assert check_installer(parse_reference(signed), planned) == (
        f"--installer: {signed} is signed for secure boot: it boots where your keys are enrolled.",
    )
    secure = planned.model_copy(update={"secure_boot": SecureBoot(certificate="a" * 64)})
    assert check_installer(parse_reference(signed), secure) == ()
    assert reasons(PUBLISHED, secure) == [
        (
            f"{PUBLISHED} is not signed for secure boot, and what these nodes boot is: give the reference that "
            "`publish --variant spin-only` prints"
        )
    ]


async def test_a_factory_lacks_extensions_that_are_not_sidero_labs_own() -> None:
    own = variant(f"extensions: {{add: [{{reference: 'ghcr.io/me/mine:v1@{digest('b')}', name: mine, reason: r}}]}}\n")
    planned = await plan_of(request(own))
    number = schematic_id(schematic(planned))
    (reason,) = reasons(f"factory.talos.dev/installer/{number}:v1.13.6", planned)
    assert "is the Image Factory's, which does not have mine: give" in reason


# What stays open


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("registry.example.com/talos/talos:spin-only-stable", "follows a channel: what it installs is"),
        ("registry.example.com/talos/talos:spin-only-v1.13.6-v1.6.1", "is of another CozyStack release than v1.6.2"),
        ("registry.example.com/mine:latest",
         "does not say which variant it is of: it has to be an installer of spin-only"),
        (f"registry.example.com/mine@{digest('a')}", "does not say which variant it is of"),
    ],
)  # fmt: skip
async def test_what_can_not_be_known_is_warned_of(text: str, question: str) -> None:
    (found,) = check_installer(parse_reference(text), await plan())
    assert found.startswith(f"--installer: {text} {question}")


async def test_a_version_in_someones_tag_need_not_be_taloss() -> None:
    text = "registry.example.com/mine:v1.12.6"
    first, second = check_installer(parse_reference(text), await plan())
    assert first == f"--installer: {text}: its tag has v1.12.6, and these patches are for Talos v1.13.6."
    assert "does not say which variant" in second


async def test_without_a_release_every_release_is_taken() -> None:
    planned = await plan()
    local = planned.model_copy(update={"origin": planned.origin.model_copy(update={"release": None})})
    assert list(open_questions(parse_reference(PUBLISHED), local)) == []
    assert replace(parse_reference(PUBLISHED), tag=None, digest=digest("a")).tag is None
