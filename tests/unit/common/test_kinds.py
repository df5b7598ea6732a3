"""The one table of output kinds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ci.boot.ways import OUTPUTS, Way
from ci.common.kinds import KINDS, PROFILES, booted_by, names
from ci.plan.outputs import GROUPS
from tests.unit.planning import plan_of, request, upstream

TOP = Path(__file__).parents[3]


def test_cozystack_has_six_profiles() -> None:
    assert [kind.name for kind in PROFILES] == ["kernel", "initramfs", "installer", "iso", "metal", "nocloud"]
    assert set(upstream("v1.6.2").profiles) == {kind.name for kind in PROFILES}


def test_every_kind_follows_a_profile_that_cozystack_has() -> None:
    assert {kind.profile for kind in KINDS.values()} <= {kind.name for kind in PROFILES}


def test_the_groups_and_ways_follow_from_the_table() -> None:
    assert GROUPS == {"upstream": ("kernel", "initramfs", "installer", "iso", "metal.raw.xz", "nocloud.raw.xz")}
    assert OUTPUTS == {
        Way.KERNEL: ("kernel", "initramfs", "cmdline"),
        Way.UKI: ("uki",),
        Way.ISO: ("iso",),
        Way.METAL: ("metal.raw",),
    }
    assert [kind.name for kind in booted_by("kernel")] == ["kernel", "initramfs", "cmdline"]


def test_names_are_listed_for_texts() -> None:
    assert names(lambda kind: kind.disk) == "metal, nocloud"


async def test_a_kind_whose_profile_is_missing_gets_nobody_elses_size_and_arguments() -> None:
    wanted = request("spin-only", outputs=("nocloud",))
    found = await plan_of(wanted)
    assert found.outputs[0].disk_size == 1306525696
    profiles = {name: facts for name, facts in wanted.upstream.profiles.items() if name != "nocloud"}
    wanted = replace(wanted, upstream=replace(wanted.upstream, profiles=profiles))
    with pytest.raises(KeyError, match="nocloud"):
        await plan_of(wanted)


def test_no_other_room_lists_the_kinds() -> None:
    """Five or more names of kinds in a row, in a text or a tuple, are a second table; a choice of defaults is not."""
    name = "(?:" + "|".join(KINDS) + ")"
    listed = re.compile(rf'(?:["\']?\b{name}\b["\']?, ?){{4}}')
    found = [
        f"{path.relative_to(TOP)}:{number}: {line.strip()}"
        for path in sorted((TOP / "ci").rglob("*.py"))
        if path.name not in ("kinds.py", "outputs.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if listed.search(line)
    ]
    assert found == []
