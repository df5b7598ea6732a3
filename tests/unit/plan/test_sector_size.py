"""Disk images for 4k disks: offered where the imager can make them, refused with the reason where it can't."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.common.errors import OutputError, PlanError
from ci.plan.model import Plan
from ci.plan.outputs import parse_sector_size
from ci.plan.profile import profiles
from ci.report.tables import plan_text
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from ci.plan.make import BuildRequest

OUTPUTS = ("kernel", "iso", "metal.raw", "nocloud")


def wanted(talos: str, size: int | None = 4096, outputs: tuple[str, ...] = OUTPUTS) -> BuildRequest:
    given = request(outputs=outputs)
    return replace(given, upstream=replace(given.upstream, talos_version=talos), disk_sector_size=size)


async def test_the_imager_of_v1_14_gets_the_sector_size_for_disk_images_alone() -> None:
    plan = await plan_of(wanted("v1.14.0-rc.1"))
    assert [output.disk_sector_size for output in plan.outputs] == [None, None, 4096, 4096]
    made = profiles(plan)
    assert {name: made[name]["output"].get("imageOptions", {}).get("diskSectorSize") for name in made} == {
        "initramfs": None,
        "kernel": None,
        "iso": None,
        "metal": 4096,
        "nocloud": 4096,
    }
    assert "metal.raw: for disks with sectors of 4096 bytes, and no others" in plan_text(plan)
    assert Plan.parse(plan.to_json()) == plan


async def test_plans_without_it_say_nothing_of_it() -> None:
    plan = await plan_of(wanted("v1.14.0-rc.1", None))
    assert "sector" not in plan.to_json().lower()
    assert "sector" not in json.dumps(profiles(plan)).lower()


@pytest.mark.parametrize("talos", ["v1.11.3", "v1.12.6", "v1.13.9"])
async def test_older_imagers_are_refused_with_the_reason(talos: str) -> None:
    with pytest.raises(PlanError) as raised:
        await plan_of(wanted(talos))
    assert str(raised.value) == (
        f"disk images with sectors of 4096 bytes need Talos v1.14 or newer, and this is {talos}: its imager makes them "
        "for sectors of 512 bytes, whatever its profile says. Leave --disk-sector-size out, or build for a CozyStack "
        "release with Talos v1.14 or newer"
    )


async def test_it_is_refused_where_nothing_has_sectors() -> None:
    with pytest.raises(PlanError, match=r"none of the outputs has sectors \(kernel, iso\).*Add one of metal, nocloud"):
        await plan_of(wanted("v1.14.0", outputs=("kernel", "iso")))


@pytest.mark.parametrize(("given", "read"), [(None, None), (512, None), (4096, 4096)])
def test_sizes_are_read(given: int | None, read: int | None) -> None:
    assert parse_sector_size(given) == read


@pytest.mark.parametrize("given", [0, 1, 1024, -512, 4097])
def test_other_sizes_are_refused(given: int) -> None:
    with pytest.raises(OutputError, match=rf"bad sector size {given}: choose one of 512, 4096"):
        parse_sector_size(given)
