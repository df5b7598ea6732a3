"""What needs what: bundles, package sources and their variants, in the forms of both generations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.common.errors import UserError
from ci.workloads.find import find_workloads
from ci.workloads.needs import only
from tests.unit.workloads.platform import v0, v1

if TYPE_CHECKING:
    from ci.workloads.model import Workloads


def bundles(found: Workloads) -> dict[str, list[tuple[str, str, bool]]]:
    return {
        bundle.name: [(one.source.removeprefix("cozystack."), one.variant, one.optional) for one in bundle.members]
        for bundle in found.bundles
    }


def test_bundles_of_v1_have_their_variants_and_what_is_switched_on_by_hand_is_optional() -> None:
    common = [("keycloak", "default", True), ("gpu", "default", True)]
    assert bundles(find_workloads(v1())) == {
        "paas": [("redis-application", "default", False)],
        "isp-full": [("networking", "kubeovn", False), ("metallb", "default", False), *common],
        "isp-hosted": [("networking", "noop", False), *common],
    }


def test_package_sources_have_components_and_needs() -> None:
    found = {source.name.removeprefix("cozystack."): source for source in find_workloads(v1()).sources}
    application = found["redis-application"]
    (variant,) = application.variants
    assert application.application
    assert [one.package for one in variant.components] == ["apps/redis"]
    assert variant.needs == ("cozystack.networking", "cozystack.redis-operator")
    assert [one.name for one in found["networking"].variants] == ["noop", "kubeovn"]
    assert not found["networking"].application


def test_bundles_before_v1_list_charts() -> None:
    found = find_workloads(v0())
    assert bundles(found) == {
        "paas-full": [
            ("paas-full/cilium", "default", False),
            ("paas-full/metallb", "default", False),
            ("paas-full/telepresence", "default", True),
        ]
    }
    sources = {source.name: source for source in found.sources}
    assert sources["paas-full/metallb"].variants[0].needs == ("paas-full/cilium",)
    assert sources["paas-full/metallb"].variants[0].components[0].package == "system/metallb"
    # what no source names is an application of its own
    assert sources["apps/redis"].application


def test_only_what_belongs_to_a_bundle() -> None:
    found = only(find_workloads(v1()), ["paas"])
    assert [bundle.name for bundle in found.bundles] == ["paas"]
    assert [package.name for package in found.packages] == ["system/kubeovn", "system/redis-operator", "apps/redis"]


def test_an_unknown_bundle_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(UserError, match=r"^unknown bundle 'pass': did you mean paas\?"):
        only(find_workloads(v1()), ["pass"])
    with pytest.raises(UserError, match="choose one of paas, isp-full, isp-hosted"):
        only(find_workloads(v1()), ["everything"])
