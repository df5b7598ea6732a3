"""What there is to boot of a plan, and of assets by their report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.boot.request import Options, netboot_request, parse_options, request_of_plan, request_of_report
from ci.boot.ways import OUTPUTS, WAYS, Way
from ci.common.arch import Arch
from ci.common.errors import BootError
from ci.plan.outputs import parse_outputs
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from ci.plan.model import Plan

OPTIONS = Options(deadline=120, arguments=("a=1",))
LINES = {
    "cmdline/cmdline-metal-arm64": "talos.platform=metal console=ttyAMA0",
    "uki/metal-arm64-uki.efi": "from=uki",
}


async def plan(*outputs: str) -> Plan:
    return await plan_of(request(outputs=outputs))


def report(plan: Plan, **changed: Any) -> str:
    return json.dumps({"plan": plan.model_dump(mode="json"), "cmdlines": LINES, **changed})


@pytest.mark.parametrize(
    ("way", "files"),
    [
        (Way.KERNEL, {"kernel": "boot/vmlinuz", "initramfs": "boot/initramfs.xz"}),
        (Way.UKI, {"uki": "uki/metal-arm64-uki.efi"}),
        (Way.ISO, {"iso": "iso/metal-arm64.iso"}),
        (Way.METAL, {"metal": "metal/metal-arm64.raw"}),
    ],
)
async def test_a_way_boots_its_own_outputs(way: Way, files: dict[str, str]) -> None:
    made = request_of_plan(await plan(*OUTPUTS[way]), way, OPTIONS, "c=2")
    assert (made.files, made.cmdline, made.arguments, made.deadline) == (files, "c=2", ("a=1",), 120)
    assert (made.way, made.arch, made.variant) == (way, Arch.ARM64, "spin-only")


async def test_what_is_expected_are_the_plans_extensions() -> None:
    planned = await plan("uki")
    expected = request_of_plan(planned, Way.UKI, OPTIONS).expected
    assert expected.extensions
    assert [one.name for one in expected.extensions] == [one.name for one in planned.extensions]
    assert expected.talos == planned.talos_version


async def test_the_network_boots_what_an_image_serves() -> None:
    planned = await plan("kernel", "initramfs", "cmdline")
    made = netboot_request(planned, ["/bin/server"], OPTIONS)
    assert (made.way, made.matchbox, made.files) == (Way.NETBOOT, ("/bin/server",), {})
    assert (made.arguments, made.deadline, made.expected.talos) == (("a=1",), 120, planned.talos_version)
    assert netboot_request(planned, [], OPTIONS).matchbox == ("/matchbox",)


def test_every_way_has_outputs_that_there_are() -> None:
    assert [len(parse_outputs(OUTPUTS[way])) for way in WAYS] == [3, 1, 1, 1]


async def test_a_disk_image_is_found_however_it_is_packed_and_best_unpacked() -> None:
    packed = await plan("metal.raw.xz")
    assert request_of_plan(packed, Way.METAL, OPTIONS).files == {"metal": "metal/metal-arm64.raw.xz"}
    both = await plan("metal.raw.zst", "metal.raw")
    assert request_of_plan(both, Way.METAL, OPTIONS).files == {"metal": "metal/metal-arm64.raw"}


async def test_assets_without_what_a_way_boots_are_refused_with_what_to_build() -> None:
    text = report(await plan("kernel", "initramfs"))
    with pytest.raises(BootError) as raised:
        request_of_report(text, Way.UKI, "spin-only", Arch.ARM64, OPTIONS)
    assert str(raised.value) == ("there is no uki among the assets, to boot from uki: build them with --outputs uki")


async def test_assets_boot_with_their_own_command_line() -> None:
    text = report(await plan("kernel", "initramfs", "cmdline", "uki"))
    assert (
        request_of_report(text, Way.KERNEL, "spin-only", Arch.ARM64, OPTIONS).cmdline
        == LINES["cmdline/cmdline-metal-arm64"]
    )
    text = report(await plan("kernel", "initramfs", "uki"))
    assert request_of_report(text, Way.KERNEL, "spin-only", Arch.ARM64, OPTIONS).cmdline == "from=uki"
    assert request_of_report(text, Way.UKI, "spin-only", Arch.ARM64, OPTIONS).cmdline == ""


async def test_assets_that_do_not_tell_the_kernels_arguments_are_refused() -> None:
    text = report(await plan("kernel", "initramfs"), cmdlines={})
    with pytest.raises(BootError, match="build them with --outputs kernel,initramfs,cmdline"):
        request_of_report(text, Way.KERNEL, "spin-only", Arch.ARM64, OPTIONS)


@pytest.mark.parametrize(
    ("variant", "arch", "message"),
    [
        ("spin-tailscale", Arch.ARM64, "the assets are of the variant spin-only, not of spin-tailscale"),
        ("spin-only", Arch.AMD64, "the assets are for arm64: boot them with --arch arm64"),
    ],
)
async def test_assets_of_another_kind_are_refused(variant: str, arch: Arch, message: str) -> None:
    with pytest.raises(BootError) as raised:
        request_of_report(report(await plan("uki")), Way.UKI, variant, arch, OPTIONS)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"plan": null, "cmdlines": {}}', '{"plan": {"a": 1}, "cmdlines": {}}']
)
def test_a_report_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BootError, match=r"^validation/build-report\.json: not a build report of this project"):
        request_of_report(text, Way.UKI, "spin-only", Arch.ARM64, OPTIONS)


def test_options_are_read() -> None:
    assert parse_options(60, " a=1  b ", kvm=True) == Options(60, ("a=1", "b"), kvm=True)
    assert parse_options(60, None, kvm=False) == Options(60)


@pytest.mark.parametrize("deadline", [0, -1, 3601])
def test_a_deadline_has_bounds(deadline: int) -> None:
    with pytest.raises(BootError, match=rf"^bad deadline {deadline}: it is in seconds, from 1 to 3600$"):
        parse_options(deadline, None, kvm=False)
