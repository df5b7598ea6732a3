"""The command lines of assets: of a UKI with profiles the first is what a machine boots, the others wipe it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.boot.request import Options, request_of_report
from ci.boot.ways import Way
from ci.common.arch import Arch
from ci.common.filenames import REPORT
from tests.unit.inspect import samples
from tests.unit.planning import plan_of, request
from tests.unit.verify.assets import build, finished, good

if TYPE_CHECKING:
    from pathlib import Path

WIPING = f"{samples.CMDLINE} talos.experimental.wipe=system"
RESET = ((".profile", b"ID=reset"), (".cmdline", WIPING.encode()))
UKI = "uki/metal-arm64-uki.efi"
INSTALLER = "installer/installer-arm64.tar:usr/install/arm64/vmlinuz.efi"


@pytest.fixture
def told(tmp_path: Path) -> dict[str, str]:
    """What the report says of assets whose UKI offers to reset the machine, too."""
    spec = finished(good())
    build(tmp_path, replace(spec, uki=samples.uki(spec.kernel, spec.initramfs, more=RESET), installer=b""))
    return json.loads((tmp_path / REPORT).read_text())["cmdlines"]


def test_the_report_tells_each_profiles_command_line(told: dict[str, str]) -> None:
    for path in (UKI, INSTALLER):
        assert {place: line for place, line in told.items() if place.startswith(f"{path}:")} == {
            f"{path}:.cmdline": samples.CMDLINE,
            f"{path}:.cmdline (2)": WIPING,
        }


@pytest.mark.parametrize("output", ["uki", "installer"])
async def test_no_boot_takes_the_line_that_wipes(told: dict[str, str], output: str) -> None:
    plan = await plan_of(request(outputs=("kernel", "initramfs", output)))
    document = json.dumps({"plan": plan.model_dump(mode="json"), "cmdlines": told})
    made = request_of_report(document, Way.KERNEL, "spin-only", Arch.ARM64, Options(deadline=120))
    assert made.cmdline == samples.CMDLINE
