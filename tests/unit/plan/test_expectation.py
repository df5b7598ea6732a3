"""What a plan promises of the files."""

from __future__ import annotations

from ci.plan.expectation import Expectation, ExpectedExtension, expectation
from ci.plan.outputs import Layout
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request, variant


async def test_a_workers_files_are_expected_to_be_these() -> None:
    assert expectation(await plan_of(request("spin-only"))) == Expectation(
        arch="arm64",
        talos="v1.13.6",
        variant="spin-only",
        extensions=(
            ExpectedExtension(name="bnx2-bnx2x", version="20260622"),
            ExpectedExtension(name="intel-ice-firmware", version="20260622"),
            ExpectedExtension(name="qlogic-firmware", version="20260622"),
            ExpectedExtension(name="drbd", version="9.3.2-v1.13.6"),
            ExpectedExtension(name="zfs", version="2.4.3-v1.13.6"),
            ExpectedExtension(name="spin", version="v0.22.0"),
        ),
        absent=("tailscale",),
        kernel_modules=("zfs", "spl", "drbd", "openvswitch"),
        runtime_handlers=("spin",),
        kernel_args=(),
        files={
            "boot/vmlinuz": "kernel",
            "boot/initramfs.xz": "initramfs",
            "installer/installer-arm64.tar": "image",
        },
        platforms={"installer/installer-arm64.tar": "metal"},
        stand_in=False,
    )


async def test_every_kind_is_expected_as_what_it_is() -> None:
    plan = await plan_of(request(outputs=("cmdline,uki,iso,metal.raw,nocloud",), layout=Layout.UPSTREAM))
    assert expectation(plan).files == {
        "cmdline-metal-arm64": "cmdline",
        "metal-arm64-uki.efi": "uki",
        "metal-arm64.iso": "iso",
        "metal-arm64.raw": "disk",
        "nocloud-arm64.raw.xz": "disk",
    }


async def test_the_version_of_ones_own_image_is_not_taken_from_its_tag() -> None:
    own = f"ghcr.io/me/mine:latest@{digest('9')}"
    plan = await plan_of(request(variant(f"extensions: {{add: ['{own}']}}\n")))
    extensions = expectation(plan).extensions
    assert extensions is not None
    assert extensions[-1] == ExpectedExtension(name="mine", version=None)


async def test_an_argument_that_is_taken_away_is_not_expected() -> None:
    plan = await plan_of(request(variant("extraKernelArgs: [a=1, -pti]\n"), outputs=("uki", "iso")))
    assert expectation(plan).kernel_args == ("a=1",)
    assert expectation(plan).removed_args == ("pti",)
