"""Which imager runs the initramfs is put together from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.plan.initramfs_runs import EMPTY_BASE, ImagerRun, imager_runs, run_profile
from ci.plan.profile import initramfs_profile
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from collections.abc import Collection


def given(count: int, with_modules: Collection[int] = ()) -> list[tuple[int, ...]]:
    return [run.numbers for run in imager_runs(count, with_modules)]


def test_each_extension_has_a_separate_run() -> None:
    assert imager_runs(3, []) == tuple(ImagerRun((number,), has_modules=False) for number in range(3))


def test_those_with_modules_share_one_run() -> None:
    assert imager_runs(4, [1, 3]) == (
        ImagerRun((0,), has_modules=False),
        ImagerRun((1, 3), has_modules=True),
        ImagerRun((2,), has_modules=False),
    )


@pytest.mark.parametrize(
    ("with_modules", "numbers"),
    [
        ((0, 1, 2), (0, 1, 2)),
        ((2, 10, 1), (1, 10, 2)),
        (tuple(range(12)), tuple(range(12))),
        # As text: 0 1 10 11 12 2 3 …, of which the imager gets a list that it takes as 0 1 10 11 2 3 …
        ((0, 1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8), (0, 1, 12, 2, 3, 4, 5, 6, 7, 8, 10, 11)),
    ],
)
def test_the_imager_takes_those_with_modules_in_the_order_of_the_whole_list(
    with_modules: tuple[int, ...], numbers: tuple[int, ...]
) -> None:
    (run,) = (run for run in imager_runs(13, with_modules) if run.has_modules)
    assert run.numbers == numbers
    taken = [run.numbers[place] for place in sorted(range(len(numbers)), key=str)]
    assert taken == sorted(with_modules, key=str)


def test_no_extension_needs_no_run() -> None:
    assert imager_runs(0, []) == ()


async def test_a_run_without_modules_does_not_depend_on_talos_itself_nor_on_other_extensions() -> None:
    plan = await plan_of(request("spin-tailscale"))
    whole = initramfs_profile(plan)
    profile = run_profile(plan, ImagerRun((1,), has_modules=False))
    assert profile == {
        **whole,
        "input": {
            **whole["input"],
            "initramfs": {"path": EMPTY_BASE},
            "systemExtensions": [{"tarballPath": f"/in/extensions/{plan.extensions[1].name}.tar"}],
        },
    }


async def test_a_run_with_modules_has_the_kernels_own() -> None:
    plan = await plan_of(request("spin-tailscale"))
    profile = run_profile(plan, ImagerRun((2, 0), has_modules=True))
    names = [f"/in/extensions/{plan.extensions[number].name}.tar" for number in (2, 0)]
    assert profile["input"]["systemExtensions"] == [{"tarballPath": name} for name in names]
    assert profile["input"]["initramfs"] == initramfs_profile(plan)["input"]["initramfs"]


async def test_two_variants_share_the_runs_of_their_common_extensions() -> None:
    one, other = await plan_of(request("spin-only")), await plan_of(request("spin-tailscale"))
    runs = [[run_profile(plan, run) for run in imager_runs(len(plan.extensions), [])] for plan in (one, other)]
    assert [profile for profile in runs[0] if profile not in runs[1]] == []
    assert len(runs[1]) == len(runs[0]) + 1
