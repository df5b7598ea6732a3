"""What counts as newer, what it changes, and how files get it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common import pins
from ci.common.errors import OutputError, PlanError
from ci.common.pins import Release
from ci.common.references import parse_reference
from ci.execute import updating
from ci.execute.updating import Update, apply_update
from ci.load.catalog import parse_catalog
from ci.load.variant import BUILTIN, parse_variant, read_variants
from ci.report.pulled import Pulled, as_json, as_text, check_format, pulled
from ci.upkeep import updates
from ci.upkeep.updates import NewerExtension, changes, known_release, newer_extensions, newest, report, with_extensions
from tests.unit.catalogs import digest
from tests.unit.planning import HEAD, plan_of, request, variant

if TYPE_CHECKING:
    import dagger

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
    assert with_extensions("edge.yaml", VARIANT, found) == VARIANT.replace(
        "tailscale:1.98.1 ", "tailscale:1.98.10 "
    ).replace("version: v0.19.0", "version: v0.25.1")  # fmt: skip


def adding(*items: str) -> str:
    return HEAD + "extensions:\n  add:\n" + "".join(f"    - {item}\n" for item in items)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "{name: spin, reason: v0.19.0 is too old, version: v0.19.0}",
            "{name: spin, reason: v0.19.0 is too old, version: v0.25.1}",
        ),
        (
            "{reason: 'not spin:v0.19.0', name: spin, version: 'v0.19.0'}",
            "{reason: 'not spin:v0.19.0', name: spin, version: 'v0.25.1'}",
        ),
        (
            "name: spin\n      reason: v0.19.0\n      version: &mine v0.19.0  # v0.19.0",
            "name: spin\n      reason: v0.19.0\n      version: &mine v0.25.1  # v0.19.0",
        ),
        ('"spin:v0.19.0" # spin:v0.19.0', '"spin:v0.25.1" # spin:v0.19.0'),
        ("'spin:v0.19.0'\r", "'spin:v0.25.1'\r"),
    ],
)  # fmt: skip
def test_the_version_is_edited_and_no_text_that_only_has_it(before: str, after: str) -> None:
    text = adding("gvisor", before)
    (found,) = newer_extensions(parse_variant("edge.yaml", text), CATALOG)
    changed = with_extensions("edge.yaml", text, [found])
    assert changed == adding("gvisor", after)
    assert list(newer_extensions(parse_variant("edge.yaml", changed), CATALOG)) == []  # it is done, once and for all


def test_a_version_that_reads_as_a_number_is_quoted() -> None:
    text = adding("{name: gvisor, version: v1}")
    changed = with_extensions("edge.yaml", text, [NewerExtension("edge", "gvisor", "v1", "20260622.0")])
    assert changed == adding('{name: gvisor, version: "20260622.0"}')


@pytest.mark.parametrize(
    "item",
    [
        "{name: spin, reason: &v v0.19.0, version: *v}",
        "{name: spin, version: &v v0.19.0, reason: *v}",
        '{name: spin, version: "v0.\\x319.0"}',
        "name: spin\n      version: >-\n        v0.19.0",
    ],
)
def test_what_would_change_more_than_the_version_is_for_a_person(item: str) -> None:
    newer = list(newer_extensions(parse_variant("edge.yaml", adding(item)), CATALOG))
    said = r"^edge\.yaml: can't be edited in place: update spin v0\.19\.0 by hand$"
    with pytest.raises(PlanError, match=said):
        with_extensions("edge.yaml", adding(item), newer)


def test_a_file_of_another_variant_is_not_edited() -> None:
    newer = [NewerExtension("edge", "spin", "v0.19.0", "v0.25.1")]
    with pytest.raises(PlanError, match=r"^edge\.yaml does not add spin: it is not the file of the variant in use$"):
        with_extensions("edge.yaml", adding("gvisor"), newer)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.98.1-rc.1", "1.98.1"),
        ("v1.7.0-alpha.3", "v1.7.0-beta.0"),
        ("v1.7.0-beta.2", "v1.7.0-rc.1"),
        ("v1.7.0-rc.2", "v1.7.0-rc.10"),
        ("v1.7.0-rc.1", "v1.7.0"),
        ("1.98.1rc1", "1.98.1"),
        ("1.98.9", "1.98.10"),
        ("2.4.3-v1.13.5", "2.4.3-v1.13.6"),
        ("2.4.3-v1.14.0-alpha.0", "2.4.3-v1.14.0"),
        ("2.4.3-v1.14.0", "2.4.4-v1.13.0"),
        ("v0.2.0", "v0.2.0-1-g1234567"),
        ("20260622.0", "20260701.0"),
    ],
)
def test_versions_are_in_order(older: str, newer: str) -> None:
    assert updates.order(older) < updates.order(newer)
    assert not updates.order(newer) < updates.order(older)


def test_a_shorter_way_to_write_a_version_is_no_newer_one() -> None:
    assert updates.order("1.98") == updates.order("v1.98.0")


@pytest.mark.parametrize(
    ("version", "of_catalog", "proposed"),
    [
        ("1.98.1", "1.98.1-rc.1", False),
        ("1.98.1", "1.99.0-rc.1", False),
        ("1.98.1-rc.1", "1.98.1", True),
        ("1.98.1-rc.1", "1.98.1-rc.2", True),
    ],
)
def test_a_candidate_is_proposed_to_who_has_one(version: str, of_catalog: str, *, proposed: bool) -> None:
    catalog = parse_catalog(f"ghcr.io/siderolabs/tailscale:{of_catalog}@{digest('a')}\n")
    found = list(newer_extensions(parse_variant("edge.yaml", adding(f"tailscale:{version}")), catalog))
    assert bool(found) is proposed


def test_a_final_release_is_newer_than_its_candidate() -> None:
    assert newest(["v1.7.0", "v1.7.0-rc.2"], "v1.7.0-rc.1") == "v1.7.0"
    assert known_release(["v1.7.0-rc.2", "v1.6.2"], "v1.7.0-rc.2") == "v1.7.0-rc.2"


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
    newer = [NewerExtension("edge", "spin", "v0.19.0", "v0.25.1")]
    assert report({"spin-only": ["Talos: a → b"], "edge": []}, newer) == (
        "spin-only\n  Talos: a → b\n\nedge: spin v0.19.0 → v0.25.1\n"
    )
    assert report({}, []) == "nothing is newer\n"
    own = NewerExtension("spin-only", "spin", "v0.19.0", "v0.25.1", builtin=False)
    assert report({}, [own]) == "spin-only: spin v0.19.0 → v0.25.1, in your own file\n"


def test_a_report_names_the_images_of_tools() -> None:
    before, after = f"example.com/tool:v1@{digest('a')}", f"example.com/tool:v1@{digest('b')}"
    assert report({}, [], {before: after}) == "example.com/tool:v1: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb\n"


async def test_the_digest_of_a_tool_changes_wherever_it_is_named() -> None:
    old = pins.PYTHON
    new = f"{old.partition('@')[0]}@{digest('b')}"
    texts = {path: f"# {path}\nX = '{old}'\n" for path in pins.NAMED_IN}
    source = cast("dagger.Directory", Checkout(texts))
    made = cast("dict[str, str]", await apply_update(source, Update(None, {}, (), {old: new})))
    assert made == {path: text.replace(old, new) for path, text in texts.items()}


@pytest.mark.parametrize("stand_in", [False, True])
async def test_the_tags_of_tools_are_looked_up_unless_they_are_stand_ins(
    monkeypatch: pytest.MonkeyPatch, *, stand_in: bool
) -> None:
    python = pins.PYTHON.partition("@")[0]

    class Image:
        async def label(self, name: str) -> str:
            assert name == pins.STAND_IN_LABEL
            return "true" if stand_in else ""

    class Resolver:
        async def resolve(self, reference: str) -> str:
            assert not stand_in
            same = {tool.partition("@")[0]: tool.partition("@")[2] for tool in pins.TOOLS}
            return digest("b") if reference == python else same[reference]

    class Dag:
        def container(self) -> Dag:
            return self

        def from_(self, reference: str) -> Image:
            assert reference == python
            return Image()

    monkeypatch.setattr(updating, "dag", Dag())
    found = await updating.newer_tools(cast("Any", Resolver()))
    assert found == ({} if stand_in else {pins.PYTHON: f"{python}@{digest('b')}"})


@pytest.mark.parametrize("tool", pins.TOOLS)
def test_a_tool_is_named_by_tag_and_digest(tool: str) -> None:
    found = parse_reference(tool)
    assert found.tag
    assert found.digest


async def test_what_is_dropped_is_told_in_the_order_of_the_names() -> None:
    plan = await plan_of(request("spin-tailscale"))
    dropped = tuple(plan.dropped[0].model_copy(update={"name": name}) for name in "dcaeb")
    some, none = plan.model_copy(update={"dropped": dropped}), plan.model_copy(update={"dropped": ()})
    assert changes(none, some) == [f"dropped: {name}" for name in "abcde"]
    assert changes(some, none) == [f"no more dropped: {name}" for name in "abcde"]


class Checkout:
    """A checkout of this project, as the engine has it."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def file(self, path: str) -> Checkout:
        return Checkout({"": self.files[path]})

    async def contents(self) -> str:
        return self.files[""]

    def with_new_file(self, path: str, text: str) -> Checkout:
        return Checkout(self.files | {path: text})

    def changes(self, before: Checkout) -> dict[str, str]:
        return {path: text for path, text in self.files.items() if before.files.get(path) != text}


async def test_a_users_variant_in_the_place_of_a_built_in_one_changes_no_file_here() -> None:
    source = cast("dagger.Directory", Checkout({"variants/spin-only.yaml": adding("spin:v0.19.0")}))
    for builtin, changed in ((True, ["variants/spin-only.yaml"]), (False, [])):
        newer = (NewerExtension("spin-only", "spin", "v0.19.0", "v0.25.1", builtin),)
        made = cast("dict[str, str]", await apply_update(source, Update(None, {}, newer)))
        assert list(made) == changed


def test_which_variant_is_a_users_own_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (BUILTIN / "spin-only.yaml").read_text()
    assert parse_variant("spin-only.yaml", text) == read_variants(BUILTIN).get("spin-only")
    assert parse_variant("spin-only.yaml", text.replace("role: worker", "role: mine")) != read_variants(BUILTIN).get(
        "spin-only"
    )


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
