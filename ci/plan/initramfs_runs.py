"""The imager runs that the initramfs is put together from (`ci.steps.normalise.assemble`).

The imager makes the same squashfs image of an extension wherever it is in the list, so each extension has a separate
run, which other variants share. Those with kernel modules share one run: the index of modules is over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ci.plan.profile import initramfs_profile

if TYPE_CHECKING:
    from collections.abc import Collection

    from ci.plan.model import Plan

#: An empty file in place of the initramfs: the imager looks into that for the kernel's own modules only.
EMPTY_BASE: Final = "/in/empty"


@dataclass(frozen=True)
class ImagerRun:
    """Some of a plan's extensions, by their numbers in the plan, in the order in which the imager gets them."""

    numbers: tuple[int, ...]
    has_modules: bool


def imager_runs(count: int, with_modules: Collection[int]) -> tuple[ImagerRun, ...]:
    """Return the runs for a number of extensions, of which some carry kernel modules."""
    alone = [ImagerRun((number,), has_modules=False) for number in range(count) if number not in with_modules]
    together = [ImagerRun(_in_the_imagers_order(with_modules), has_modules=True)] if with_modules else []
    return tuple(sorted((*alone, *together), key=lambda run: min(run.numbers)))


def _in_the_imagers_order(numbers: Collection[int]) -> tuple[int, ...]:
    """Return a list of some numbers that the imager works off as it does them in the whole list.

    It works off a list by its numbers as text, 10 before 2, and where two extensions have one module, the last one's
    is taken.
    """
    worked_off = sorted(range(len(numbers)), key=str)
    found = dict(zip(worked_off, sorted(numbers, key=str), strict=True))
    return tuple(found[place] for place in range(len(numbers)))


def run_profile(plan: Plan, run: ImagerRun) -> dict[str, Any]:
    """Return the imager's profile of a run."""
    extensions = tuple(plan.extensions[number] for number in run.numbers)
    profile = initramfs_profile(plan.model_copy(update={"extensions": extensions}))
    if not run.has_modules:
        profile["input"]["initramfs"]["path"] = EMPTY_BASE
    return profile
