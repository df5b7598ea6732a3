"""A Talos that is newer than any that was tried: plan, report and provenance say so, and what is relied on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ci.common.errors import OutputError
from ci.plan.model import Plan
from ci.plan.quirks import NEWEST_PROVEN, unproven
from ci.report.build_report import render_report
from ci.report.provenance import make_provenance
from ci.report.tables import Format, plan_as, plan_summary
from ci.verify.reported import Report
from tests.unit.planning import plan_of, request

NEXT = f"v{NEWEST_PROVEN[0]}.{NEWEST_PROVEN[1] + 1}.2"
NEWEST = ".".join(map(str, NEWEST_PROVEN))
CAUTION = f"Talos {NEXT} is newer than what this release of cozystack-talos was tried with: v{NEWEST} at most"


async def plan_for(talos: str) -> Plan:
    wanted = request()
    plan = await plan_of(replace(wanted, upstream=replace(wanted.upstream, talos_version=talos)))
    assert plan.talos_version == talos
    return plan


def report_of(plan: Plan) -> Report:
    return Report(
        stand_in=False,
        variant=plan.variant,
        arch=plan.arch.value,
        talos=plan.talos_version,
        kernel=None,
        extensions=(),
        cmdlines={},
        files=(),
        checks=(),
        plan=json.loads(plan.to_json()),
    )


def words(text: str) -> str:
    return " ".join(text.split())


async def test_the_plan_says_so_in_every_form() -> None:
    plan = await plan_for(NEXT)
    assert plan.caveats[0] == CAUTION
    assert plan.caveats[1].startswith(f"relied on, as it is in v{NEWEST}: the imager's profile")
    for text in (plan_as(plan, Format.TEXT), plan_summary(plan)):
        assert f"CAUTION: {CAUTION}" in words(text)
        assert f"CAUTION: {words(plan.caveats[1])}" in words(text)
    assert json.loads(plan_as(plan, Format.JSON))["caveats"] == list(plan.caveats)
    assert Plan.parse(plan.to_json()) == plan


async def test_the_report_says_so() -> None:
    plan = await plan_for(NEXT)
    report = report_of(plan)
    assert f"CAUTION: {CAUTION}" in words(render_report(report))
    assert words(plan.caveats[1]) in words(render_report(report))
    assert all(len(line) <= 120 for line in render_report(report).splitlines() if "CAUTION" in line)
    assert json.loads(report.model_dump_json())["plan"]["caveats"] == list(plan.caveats)


async def test_the_provenance_says_so() -> None:
    plan = await plan_for(NEXT)
    definition = make_provenance({}, plan)["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["caveats"] == list(plan.caveats)


@pytest.mark.parametrize("talos", ["v1.11.3", "v1.12.6", f"v{NEWEST}.0", f"v{NEWEST}.0-rc.1", f"v{NEWEST}.99"])
async def test_nothing_is_said_of_versions_that_were_tried(talos: str) -> None:
    plan = await plan_for(talos)
    assert plan.caveats == ()
    assert "caveats" not in json.loads(plan.to_json())
    for text in (plan_as(plan, Format.TEXT), plan_summary(plan), render_report(report_of(plan))):
        assert "CAUTION" not in text
    assert "caveats" not in json.dumps(make_provenance({}, plan))


@pytest.mark.parametrize("talos", [NEXT, "v2.0.0", "v2.0.0-alpha.1", "v1.100.0"])
def test_newer_ones_are_all_unproven(talos: str) -> None:
    assert len(unproven(talos)) == 2


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(OutputError):
        unproven("latest")
