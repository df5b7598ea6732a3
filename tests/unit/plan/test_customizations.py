"""What changes boot files beyond their extensions: arguments, metadata, overlays, keys; and where it would be lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.common.errors import PlanError, VariantError
from ci.common.pins import OLDEST_RELEASE
from ci.plan.model import SecureBoot
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    from ci.plan.make import BuildRequest

CUSTOMIZED = "extraKernelArgs: [a=1, -pti]\nmeta:\n  - {key: 0xa, value: hello}\n"


async def test_customization_goes_where_the_imager_takes_it() -> None:
    every = ("kernel", "initramfs", "cmdline", "uki", "installer", "iso", "metal", "nocloud")
    plan = await plan_of(request(variant(CUSTOMIZED), outputs=every))
    assert [output.name for output in plan.outputs if output.extra_kernel_args == ("a=1", "-pti")] == [
        "cmdline", "uki", "installer", "iso", "metal.raw.zst", "nocloud.raw.zst",
    ]  # fmt: skip
    assert [output.name for output in plan.outputs if [meta.value for meta in output.meta] == ["hello"]] == [
        "cmdline", "uki", "iso", "metal.raw.zst", "nocloud.raw.zst",
    ]  # fmt: skip


async def test_an_output_that_does_not_carry_a_customization_says_so() -> None:
    plan = await plan_of(request(variant(CUSTOMIZED), outputs=("kernel", "installer", "uki")))
    no_args = "carries no kernel arguments: the boot loader has to give them (output cmdline has the whole line)"
    no_meta = "carries no META values: the imager puts none into this kind"
    assert {output.name: output.notes for output in plan.outputs} == {
        "kernel": (no_args, no_meta),
        "installer": (no_meta,),
        "uki": (),
    }


OVERLAY = f"overlay: {{image: 'ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0@{digest('b')}', name: rpi_generic}}\n"


async def test_an_output_that_carries_only_an_overlays_kernel_arguments_says_so() -> None:
    """As in Talos's pkg/imager: `buildCmdline` asks every overlay, `buildImage` runs it, `outInstaller` packs it."""
    every = ("initramfs", "cmdline", "uki", "installer", "iso", "metal", "nocloud")
    plan = await plan_of(request(variant(OVERLAY), outputs=every))
    note = (
        "carries the overlay's kernel arguments only: firmware, boot loader and device trees go into installer, metal, "
        "nocloud"
    )
    assert [output.name for output in plan.outputs if note in output.notes] == ["cmdline", "uki", "iso"]
    plain = await plan_of(request(outputs=every))
    assert not [output.name for output in plain.outputs if note in output.notes]


def signed(outputs: tuple[str, ...], tag: str = "v1.6.2") -> BuildRequest:
    asked = request(variant(OVERLAY), outputs=outputs, tag=tag)
    return replace(asked, secure_boot=SecureBoot(certificate="c" * 64))


async def test_a_disk_image_with_both_an_overlay_and_keys_is_refused() -> None:
    """The imager signs it with systemd-boot, and beside that leaves the overlay out without a word."""
    with pytest.raises(PlanError) as raised:
        await plan_of(signed(("uki", "installer", "metal", "nocloud.raw.xz")))
    assert str(raised.value) == (
        "an overlay and keys for secure boot do not go together in metal.raw.zst, nocloud.raw.xz: the imager of Talos "
        "v1.13.6 gives a signed disk image systemd-boot, with which it runs no overlay, so the board's firmware and "
        "boot loader would be missing. Leave the keys or the overlay out, or build only cmdline, ipxe, uki, installer, "
        "iso"
    )


@pytest.mark.parametrize(
    ("tag", "outputs"),
    [
        ("v1.6.2", ("cmdline", "uki", "installer", "iso")),
        # Talos v1.11.3, which installs into a loop device and runs the overlay there beside systemd-boot too.
        (OLDEST_RELEASE.tag, ("metal",)),
    ],
)
async def test_an_overlay_and_keys_are_taken_where_both_get_in(tag: str, outputs: tuple[str, ...]) -> None:
    plan = await plan_of(signed(outputs, tag))
    assert [(output.overlay, output.signed) for output in plan.outputs] == [(True, True)] * len(outputs)


@pytest.mark.parametrize(
    ("text", "outputs", "message"),
    [
        (
            "extraKernelArgs: [a=1]\n",
            ("kernel", "initramfs"),
            (
                "3: none of the outputs can carry kernel arguments (kernel, initramfs): a bare kernel gets them "
                "from its boot loader. Add one of cmdline, ipxe, uki, installer, iso, metal, nocloud (cmdline holds "
                "them as text)"
            ),
        ),
        (
            "meta:\n  - {key: 10, value: x}\n",
            ("kernel", "initramfs", "installer"),
            (
                "3: none of the outputs can carry META values (kernel, initramfs, installer): an installer or a bare "
                "kernel has no META partition. Add one of cmdline, ipxe, uki, iso, metal, nocloud"
            ),
        ),
    ],
)
async def test_a_customization_that_would_be_lost_is_refused(text: str, outputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(VariantError) as raised:
        await plan_of(request(variant(text), outputs=outputs))
    assert str(raised.value) == f"variants/mine.yaml:{message}"


async def test_upstreams_own_kernel_arguments_come_first_and_once() -> None:
    wanted = request(variant("extraKernelArgs: [b=2, a=1]\n"), outputs=("iso",))
    profiles = {
        name: replace(facts, extra_kernel_args=("a=1", "c=3")) for name, facts in wanted.upstream.profiles.items()
    }
    wanted = replace(wanted, upstream=replace(wanted.upstream, profiles=profiles))
    assert (await plan_of(wanted)).outputs[0].extra_kernel_args == ("a=1", "c=3", "b=2")
