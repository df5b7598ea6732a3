"""With --lab, what is pulled for a published image that is named by its digest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from embedded import lab
from embedded.engine.api.references import Reference, parse_reference
from embedded.engine.lab import DEFAULT_CHECKOUT, PACKAGES, PACKAGES_BEFORE, LabImages
from embedded.lab import published
from embedded.lab.contents import crane, every, helm, workloads
from embedded.lab.recipe import Result

OTHER = "sha256:" + "a" * 64
LABS = "sha256:" + "b" * 64


def prepared(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[Reference, list[str]]:
    """Return what is pulled for a reference, and what was made before."""
    made: list[str] = []

    async def make(_: object, name: str, architecture: str | None = None) -> str:
        made.append(name)
        return LABS

    monkeypatch.setattr(LabImages, "make", make)

    async def prepare() -> Reference:
        images = LabImages("127.0.0.1:1", Path("/nowhere"), lambda _: None)
        return await images.prepare(parse_reference(text), "linux/amd64")

    return asyncio.run(prepare()), made


@pytest.mark.parametrize("reference", sorted(published.STOOD_IN_FOR))
def test_a_published_images_digest_gives_the_labs_image_of_its_tag(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged = published.tagged(reference)
    assert prepared(monkeypatch, reference) == (parse_reference(f"{tagged}@{LABS}"), [tagged])


@pytest.mark.parametrize(
    "reference",
    [
        f"{published.tagged(published.PYTHON)}@{OTHER}",
        f"ghcr.io/siderolabs/spin:v0.25.1@{OTHER}",
        published.tagged(published.PYTHON),
    ],
)
def test_any_other_reference_is_pulled_as_it_is(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared(monkeypatch, reference)[0] == parse_reference(reference)


def test_the_digest_is_that_of_what_was_made_and_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ensure(names: list[str], **_: object) -> dict[str, Result]:
        asked.append(names)
        value = {"image": {"digest": LABS}} if not names[0].startswith("part/") else {}
        return {names[0]: Result(value, Path("/nowhere"), "sha256:0")}

    monkeypatch.setattr(lab, "ensure", ensure)

    async def make() -> list[str]:
        images = LabImages("127.0.0.1:1", Path("/nowhere"), lambda _: None)
        return [await images.make(name, "amd64") for name in ("a:1", "a:1", "part/checkout/v1")]

    assert asyncio.run(make()) == [LABS, LABS, ""]
    assert asked == [["a:1"], ["part/checkout/v1"]]


def test_the_lab_has_what_it_stands_in_for() -> None:
    assert {published.tagged(one) for one in published.STOOD_IN_FOR} <= {recipe.name for recipe in every.recipes()}
    assert published.tagged(published.CRANE) == f"gcr.io/go-containerregistry/crane:{crane.version()}"


def test_the_lab_has_the_checkouts_that_a_call_is_given() -> None:
    names = {recipe.name for recipe in every.recipes()}
    assert {f"part/checkout/{name}" for name in (DEFAULT_CHECKOUT, PACKAGES, PACKAGES_BEFORE)} <= names
    assert (PACKAGES, PACKAGES_BEFORE) == (workloads.CHECKOUT, workloads.BEFORE)
    assert published.tagged(published.HELM) == helm.REFERENCE
