"""Every Talos of a CozyStack release, and the next one, is in the lab by its version."""

from __future__ import annotations

import pytest

from embedded import lab
from embedded.lab.contents.catalog import profile
from embedded.lab.contents.extensions import of_release, profile_extensions
from embedded.lab.contents.releases import FURTHER, MAIN, NEW, OLD, REGISTRY, RELEASES, Release, is_on_demand
from embedded.lab.imager.contract import CONTRACTS


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.talos)
def test_a_version_has_all_that_a_build_asks_for(release: Release) -> None:
    recipes = lab.builder().recipes
    names = [f"{REGISTRY}/{name}:{release.talos}" for name in ("imager", "installer-base", "extensions", "overlays")]
    for name in (*names, f"part/checkout/{release.talos}", *(one.reference for one in of_release(release))):
        assert all(need in recipes for need in recipes[name].needs), name
    assert release.talos in CONTRACTS
    assert release.talos in profile(release, "metal", [])


def test_versions_are_told_apart_by_their_number_alone() -> None:
    assert len({release.talos for release in RELEASES}) == len({release.cozystack for release in RELEASES})
    assert set(CONTRACTS) == {release.talos for release in RELEASES}
    assert [contract.disks_need_loop for contract in CONTRACTS.values()] == [
        contract.version < (1, 13, 0) for contract in CONTRACTS.values()
    ]


def test_all_of_the_lab_is_the_oldest_and_the_newest() -> None:
    every = set(lab.every())
    for release in MAIN:
        assert {f"{REGISTRY}/imager:{release.talos}", f"part/checkout/{release.talos}"} <= every
        assert {one.reference for one in profile_extensions(release)} <= every
    for release in FURTHER:
        assert not [name for name in every if release.talos in name]
    recipes = lab.builder().recipes
    assert {name for name, recipe in recipes.items() if not (recipe.on_demand or is_on_demand(name))} == every


def test_extensions_of_one_tag_are_the_same_whatever_asks_for_them() -> None:
    seen: dict[str, str] = {}
    for release in RELEASES:
        for extension in of_release(release):
            assert seen.setdefault(extension.reference, extension.manifest.text()) == extension.manifest.text()


def test_a_checkout_of_an_unknown_version_lists_those_that_there_are() -> None:
    with pytest.raises(lab.LabError) as raised:
        lab.checkout_path("v1.99.0")
    assert all(release.talos in str(raised.value) for release in (NEW, OLD, *FURTHER))
