"""What counts as newer, what it changes, and how files get it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci.common import pins
from ci.common.errors import OutputError, PlanError
from ci.common.pins import Release
from ci.load.catalog import parse_catalog
from ci.load.variant import parse_variant
from ci.report.pulled import Pulled, as_json, as_text, check_format, pulled
from ci.upkeep import updates
from ci.upkeep.updates import NewerExtension, changes, known_release, newer_extensions, newest, report, with_extensions
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request, variant

NEXT = Release("v1.7.0", "d" * 40, 1800000000)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["v1.6.1", "v1.6.2"], None),
        (["v1.6.3", "v1.10.0", "v1.9.9"], "v1.10.0"),
        (["v1.7.0-rc.1", "v2", "latest", "api/v1.9.0"], None),
        ([], None),
    ],
)
def test_the_newest_release_is_a_final_and_higher_one(tags: list[str], found: str | None) -> None:
    assert newest(tags, "v1.6.2") == found


def test_a_release_that_there_is_not_is_refused() -> None:
    assert known_release(["v1.6.2", "v1.6.3"], "v1.6.3") == "v1.6.3"
    with pytest.raises(PlanError, match=r"^the repository has no release v1\.6\.4: did you mean v1\.6\.[23]\?$"):
        known_release(["v1.6.2", "v1.6.3"], "v1.6.4")


def test_the_pins_get_the_release_and_keep_all_else() -> None:
    text = Path(str(pins.__file__)).read_text()
    changed = updates.with_release(text, NEXT)
    old, new = text.splitlines(), changed.splitlines()
    assert [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]] == [
        (
            'DEFAULT_RELEASE: Final = Release("v1.6.2", "bfde94fd26d35c5f0281a1285f194e7ca3041b6a", 1787125936)',
            f'DEFAULT_RELEASE: Final = Release("v1.7.0", "{"d" * 40}", 1800000000)',
        )
    ]


def test_pins_of_another_form_are_refused() -> None:
    with pytest.raises(PlanError, match="update it by hand"):
        updates.with_release("DEFAULT = 1\n", NEXT)


VARIANT = """\
# mine
description: x
role: worker
extensions:
  add:
    - tailscale:1.98.1   # kept
    - name: spin
      reason: needs 0.19.0 or so
      version: v0.19.0
    - gvisor
    - name: zfs
      reference: ghcr.io/example/zfs:1.0@sha256:0000000000000000000000000000000000000000000000000000000000000000
"""
CATALOG = parse_catalog(
    "".join(
        f"ghcr.io/siderolabs/{name}@{digest('a')}\n"
        for name in ("tailscale:1.98.10", "spin:v0.25.1", "gvisor:20260622.0", "zfs:2.4.3-v1.13.6")
    )
)


def test_versions_that_a_variant_names_are_compared_with_the_catalog() -> None:
    found = list(newer_extensions(parse_variant("edge.yaml", VARIANT), CATALOG))
    assert [(one.name, one.version, one.newer) for one in found] == [
        ("tailscale", "1.98.1", "1.98.10"),
        ("spin", "v0.19.0", "v0.25.1"),
    ]
    assert with_extensions(VARIANT, found) == VARIANT.replace(
        "tailscale:1.98.1 ", "tailscale:1.98.10 "
    ).replace("version: v0.19.0", "version: v0.25.1")  # fmt: skip


def test_a_version_above_the_catalogs_is_ones_own_choice() -> None:
    text = VARIANT.replace("1.98.1 ", "1.99.0 ").replace("v0.19.0", "v0.30.0")
    assert list(newer_extensions(parse_variant("edge.yaml", text), CATALOG)) == []


async def test_the_difference_of_two_releases_is_told_by_name() -> None:
    old, new = await plan_of(request(tag="v0.38.2")), await plan_of(request(tag="v1.6.2"))
    said = changes(old, new)
    assert said[:2] == ["CozyStack: v0.38.2 → v1.6.2", "Talos: v1.11.3 → v1.13.6"]
    assert any(line.startswith("zfs: 2.") and " → 2.4.3-v1.13.6 (" in line for line in said)
    assert changes(new, new) == []


async def test_what_comes_and_goes_is_told() -> None:
    plan = await plan_of(request("spin-tailscale"))
    without = plan.model_copy(update={"extensions": plan.extensions[1:], "dropped": plan.dropped[1:]})
    gone, drop = plan.extensions[0], plan.dropped[0]
    assert changes(plan, without) == [
        f"- {gone.name} {gone.version} ({gone.digest[7:19]})", f"no more dropped: {drop.name}"
    ]  # fmt: skip
    assert changes(without, plan) == [
        f"+ {gone.name} {gone.version} ({gone.digest[7:19]})", f"dropped: {drop.name}"
    ]  # fmt: skip


def test_a_report_names_the_variants() -> None:
    newer = [NewerExtension("edge", "spin", "v0.19.0", "v0.25.1", 7)]
    assert report({"spin-only": ["Talos: a → b"], "edge": []}, newer) == (
        "spin-only\n  Talos: a → b\n\nedge: spin v0.19.0 → v0.25.1\n"
    )
    assert report({}, []) == "nothing is newer\n"


# Images


async def test_all_images_of_a_plan_and_of_the_tools_are_listed_once() -> None:
    plan = await plan_of(request())
    tools = [Pulled(f"docker.io/library/python:3@{digest('e')}", "tools"), Pulled(plan.imager.pinned, "again")]
    found = pulled(plan, tools)
    assert [one.reference for one in found] == sorted({one.reference for one in found})
    uses = {one.use for one in found}
    assert {"tools", "imager", "installer base", "extension catalog", "extension zfs", "extension spin"} <= uses
    assert "extension amd-ucode" not in uses  # not pulled for arm64
    assert all("@sha256:" in one.reference for one in found)


async def test_a_boards_overlay_is_listed() -> None:
    image = f"ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0@{digest('b')}"
    plan = await plan_of(request(variant(f"overlay: {{image: '{image}', name: rpi_generic}}\n")))
    assert Pulled(image, "overlay") in pulled(plan, [])


def test_the_list_is_a_reference_a_line_or_json() -> None:
    found = (Pulled("a:1@sha256:0", "x"), Pulled("b:1@sha256:1", "y"))
    assert as_text(found) == "a:1@sha256:0\nb:1@sha256:1\n"
    assert json.loads(as_json(found))[1] == {"reference": "b:1@sha256:1", "use": "y"}


def test_another_format_is_refused() -> None:
    with pytest.raises(OutputError, match=r"^unknown format 'yaml': choose one of text, json$"):
        check_format("yaml")
