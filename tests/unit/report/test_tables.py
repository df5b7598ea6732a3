"""What people read."""

from __future__ import annotations

import json

import pytest
import yaml

from ci.common.errors import OutputError
from ci.load.variant import BUILTIN, load_variants, read_variants
from ci.plan.model import Plan
from ci.plan.profile import profiles
from ci.report.tables import Format, parse_format, plan_as, plan_summary, render, variants_table
from tests.unit.cozystack import DATA
from tests.unit.planning import HEAD, plan_of, request, variant


def test_the_table_of_variants_is_the_stored_one() -> None:
    assert variants_table(read_variants(BUILTIN)) == (DATA / "variants.txt").read_text()


def test_a_variant_that_needs_nothing_and_drops_something() -> None:
    text = variants_table(load_variants({"mine.yaml": HEAD + "extensions: {drop: [{name: zfs, reason: x}]}\n"}))
    assert text.splitlines()[2:] == [
        "  role          test",
        "  extensions    CozyStack's own, - zfs",
        "  a node needs  nothing",
    ]


def over_the_edge(text: str) -> list[str]:
    """The lines that do not fit into 80 columns, but for those of one word: a reference is never broken."""
    return [line for line in text.splitlines() if len(line) > 80 and len(line.split()) > 1]


async def test_tables_fit_into_80_columns() -> None:
    every = ("kernel", "initramfs", "cmdline", "uki", "installer", "iso", "metal", "nocloud")
    plan = await plan_of(request("spin-tailscale", tag="v0.38.2", outputs=every))
    for text in (plan_as(plan, Format.TEXT), plan_summary(plan), variants_table(read_variants(BUILTIN))):
        assert over_the_edge(text) == []


def test_a_hostile_reason_cannot_control_the_terminal() -> None:
    assert render("a \x1b[2J\u202eb") == "a \\x1b[2J\\u202eb\n"


async def test_the_text_of_a_plan_is_the_stored_one() -> None:
    plan = await plan_of(
        request("spin-tailscale", tag="v0.38.2", outputs=("kernel", "initramfs", "installer", "metal"))
    )
    assert plan_as(plan, Format.TEXT) == (DATA / "plan.txt").read_text()


async def test_the_plan_of_stand_ins_says_so_in_its_first_line() -> None:
    plan = (await plan_of(request())).model_copy(update={"stand_in": True})
    assert plan_as(plan, Format.TEXT).splitlines()[:2] == [
        "STAND-IN: upstream's images are stand-ins from the lab; what is built of them",
        "boots no real node",
    ]


async def test_references_are_not_broken_over_lines() -> None:
    plan = await plan_of(request())
    text = plan_as(plan, Format.TEXT)
    assert [entry.pinned for entry in plan.extensions if entry.pinned not in text] == []


async def test_customization_is_in_the_text() -> None:
    text = "extraKernelArgs: [a=1]\nmeta:\n  - {key: 10, value: '[red]x'}\n"
    lines = plan_as(await plan_of(request(variant(text), outputs=("kernel", "uki"))), Format.TEXT).splitlines()
    assert [line for line in lines if line.startswith(("kernel: ", "uki: "))] == [
        "kernel: carries no kernel arguments: the boot loader has to give them (output",
        "kernel: carries no META values: the imager puts none into this kind",
        "uki: extra kernel arguments a=1",
        "uki: META 0xa = [red]x",
    ]


async def test_json_and_yaml_carry_the_plan_and_its_profiles() -> None:
    plan = await plan_of(request())
    for data in (json.loads(plan_as(plan, Format.JSON)), yaml.safe_load(plan_as(plan, Format.YAML))):
        assert data.pop("profiles") == profiles(plan)
        assert data == json.loads(plan.to_json())


@pytest.mark.parametrize("form", [Format.JSON, Format.YAML])
async def test_a_printed_plan_can_be_read_back(form: Format) -> None:
    plan = await plan_of(request())
    assert Plan.parse(plan_as(plan, form)) == plan


@pytest.mark.parametrize("form", Format)
def test_a_format_is_read_by_its_name(form: Format) -> None:
    assert parse_format(form.value, Format) is form


def test_another_format_is_refused() -> None:
    with pytest.raises(OutputError) as raised:
        parse_format("toml")
    assert str(raised.value) == "unknown format 'toml': choose one of text, json, yaml"
    with pytest.raises(OutputError, match="unknown format 'html': choose one of text, json, yaml"):
        parse_format("html")
