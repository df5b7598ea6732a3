"""The packages of CozyStack that the lab has, and their images: made here, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedded import lab
from embedded.lab.builder import Builder, NoProgress
from embedded.lab.contents import workloads
from embedded.lab.contents.workloads import BEFORE, CHECKOUT, CILIUM, EARLIER, KILO, KUBEOVN, OTHERS, RUN, SHADOWBOX


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    builder = Builder(tmp_path_factory.mktemp("lab"), {one.name: one for one in workloads.recipes()}, "")
    builder.build(builder.recipes, NoProgress())
    return builder


def manifests(made: Builder, reference: str) -> dict[str, Any]:
    top = made.made()[reference].value["image"]["digest"]
    return json.loads(made.blobs.path(top).read_bytes())


def platforms(made: Builder, reference: str) -> list[str]:
    return [one["platform"]["architecture"] for one in manifests(made, reference)["manifests"]]


def test_there_is_an_image_of_each_kind(made: Builder) -> None:
    assert platforms(made, KILO.reference) == ["amd64", "arm64", "unknown", "unknown"]
    assert platforms(made, KUBEOVN.reference) == ["amd64", "unknown"]
    assert platforms(made, CILIUM.reference) == ["amd64", "arm64"]
    assert "config" in manifests(made, SHADOWBOX.reference)


def test_a_program_for_amd64_is_in_the_image_for_arm64(made: Builder) -> None:
    programs = {image.reference: image.programs for image in (*RUN, *OTHERS)}
    wrong = [name for name, inside in programs.items() if any(one != other for one, other in inside.items())]
    assert wrong == [CILIUM.reference]
    assert programs[CILIUM.reference]["arm64"] == "amd64"


def test_all_images_together_are_small(made: Builder) -> None:
    assert sum(path.stat().st_size for path in made.blobs.folder.rglob("*") if path.is_file()) < 100_000


def test_the_checkouts_differ_in_one_image(made: Builder) -> None:
    digest = made.made()[KILO.reference].value["image"]["digest"]
    new, old = (made.results_folder(f"part/checkout/{name}") for name in (CHECKOUT, BEFORE))
    changed = [
        path.relative_to(new).as_posix()
        for path in new.glob("packages/**/*")
        if path.is_file() and path.read_bytes() != (old / path.relative_to(new)).read_bytes()
    ]
    assert changed == ["packages/system/kubeovn/values.yaml"]
    assert f"{KILO.reference}@{digest}" in (new / "packages/system/kilo/values.yaml").read_text()
    tags = [(folder / changed[0]).read_text().partition("tag: ")[2].strip() for folder in (old, new)]
    assert [f"{KUBEOVN.reference.rpartition(':')[0]}:{tag}" for tag in tags] == [EARLIER.reference, KUBEOVN.reference]


def test_what_the_packages_name_is_what_there_is(made: Builder) -> None:
    """All but the last: of that the registry knows nothing."""
    text = "".join(path.read_text() for path in Path(workloads.PACKAGES).rglob("*") if path.is_file())
    for image in RUN:
        repository, tag = image.reference.rsplit(":", 1)
        assert repository.rpartition("/")[2] in text
        assert tag in text
    assert "redis_exporter" in text
    assert not [name for name in made.recipes if "redis_exporter" in name]


def test_they_are_made_on_demand() -> None:
    names = {recipe.name for recipe in workloads.recipes()}
    assert names <= set(lab.builder().recipes)
    assert not names & set(lab.every())
    assert not {recipe.name for recipe in lab.builder().closure(lab.for_builds())} & names
