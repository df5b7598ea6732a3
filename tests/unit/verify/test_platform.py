"""The platform of assets, from their command lines: known, planned, and with its own arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.common.arch import Arch
from ci.common.platforms import PLATFORMS
from ci.plan.expectation import Expectation, ExpectedOverlay, expectation, expectation_anywhere
from ci.verify.assets import read_assets
from ci.verify.checks_platform import cmdline_platform
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    from pathlib import Path

NAME = "cmdline/cmdline-metal-arm64"
AWS = "talos.platform=aws console=tty1 console=ttyS0 net.ifnames=0 init_on_alloc=1"


def problems(folder: Path, line: str, expected: Expectation | None = None) -> list[str]:
    (folder / "cmdline").mkdir()
    (folder / NAME).write_text(line)
    found = cmdline_platform(read_assets(folder), expected or Expectation(arch="arm64"))
    assert len(found.evidence) == 1
    return [problem.removeprefix(f"{NAME} ") for problem in found.problems]


@pytest.mark.parametrize("arch", list(Arch))
@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_what_the_imager_gives_a_platform_passes(tmp_path: Path, name: str, arch: Arch) -> None:
    line = " ".join([f"talos.platform={name}", *PLATFORMS[name].kernel_arguments(arch), "init_on_alloc=1"])
    expected = Expectation(arch=arch.value, platforms={NAME: name})
    assert problems(tmp_path, line, expected) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (AWS, []),
        (AWS.replace("=aws", "=awss"), ["is for the platform 'awss', which Talos does not know: aws is meant?"]),
        (AWS.replace("=aws", "=zz"), ["is for the platform 'zz', which Talos does not know"]),
        (AWS.replace(" net.ifnames=0", ""), ["lacks net.ifnames=0, which goes with the platform aws"]),
        # Who built them may have chosen other values: nothing says that they are wrong.
        (AWS.replace("net.ifnames=0", "net.ifnames=1"), []),
        (AWS.replace("console=tty1 console=ttyS0", "console=ttyAMA0"), []),
        ("talos.platform=container init_on_alloc=1", []),
        ("talos.platform=packet init_on_alloc=1", []),
    ],
)
def test_assets_without_a_plan(tmp_path: Path, line: str, expected: list[str]) -> None:
    assert problems(tmp_path, line) == expected


@pytest.mark.parametrize(
    ("line", "given", "expected"),
    [
        (AWS, {}, []),
        (AWS, {"platforms": {NAME: "oracle"}}, ["is for the platform aws, oracle is planned"]),
        (AWS.replace("console=tty1 ", ""), {}, ["lacks console=tty1, which goes with the platform aws"]),
        (AWS.replace("console=tty1 console=ttyS0", "console=hvc0"), {"kernel_args": ("console=hvc0",)}, []),
        (AWS.replace(" net.ifnames=0", ""), {"removed_args": ("net.ifnames",)}, []),
        (AWS.replace(" net.ifnames=0", ""), {"removed_args": ("net.ifnames=0",)}, []),
        (
            AWS.replace("console=tty1 console=ttyS0", "console=ttyBOARD"),
            {"overlay": ExpectedOverlay(name="board", installer="0", kernel_args=("console=ttyBOARD",))},
            [],
        ),
    ],
)
def test_assets_with_a_plan(tmp_path: Path, line: str, given: dict[str, object], expected: list[str]) -> None:
    planned = Expectation.model_validate({"arch": "arm64", "platforms": {NAME: "aws"}, **given})
    assert problems(tmp_path, line, planned) == expected


@pytest.mark.parametrize(("talos", "lacks"), [("v1.13.6", False), ("v1.14.0", True), (None, False)])
def test_from_v1_14_on_the_limit_of_waiting_for_disks_is_awss_own(
    tmp_path: Path, talos: str | None, lacks: bool
) -> None:
    argument = "nvme_core.io_timeout=4294967295"
    assert problems(tmp_path, AWS, Expectation(arch="arm64", talos=talos)) == (
        [f"lacks {argument}, which goes with the platform aws"] if lacks else []
    )
    assert argument not in PLATFORMS["oracle"].kernel_arguments(Arch.ARM64, (1, 14))


async def test_a_plan_promises_the_platform_of_what_has_arguments() -> None:
    plan = await plan_of(request(outputs=("kernel", "iso", "aws", "oracle.uki", "oracle.installer")))
    assert expectation(plan).platforms == {
        "iso/metal-arm64.iso": "metal",
        "aws/aws-arm64.raw.xz": "aws",
        "oracle/oracle-arm64-uki.efi": "oracle",
        "oracle/oracle-installer-arm64.tar": "oracle",
    }
    assert expectation_anywhere(plan).platforms == {}


async def test_a_variants_own_console_is_in_place_of_the_platforms(tmp_path: Path) -> None:
    plan = await plan_of(request(variant("extraKernelArgs: [console=hvc0, -net.ifnames]\n"), outputs=("aws.cmdline",)))
    expected = expectation(plan).model_copy(update={"platforms": {NAME: "aws"}})
    assert problems(tmp_path, "talos.platform=aws console=hvc0", expected) == []
