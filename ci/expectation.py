"""What a plan promises of the files that come out, in the terms of `ci.verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.extensions import Source
from ci.verify.model import Expectation, ExpectedExtension

if TYPE_CHECKING:
    from ci.plan import Plan, PlannedOutput

# What `ci.inspect` calls the imager's kinds, where the words differ.
_INSPECTED = {"installer": "image", "image": "disk"}


def expectation(plan: Plan) -> Expectation:
    """Return what the assets are checked against."""
    arguments = (argument for output in plan.outputs for argument in output.extra_kernel_args)
    return Expectation(
        arch=plan.arch.value,
        talos=plan.talos_version,
        variant=plan.variant,
        extensions=tuple(
            # The published images are tagged with the version in their manifest; one's own may be tagged otherwise.
            ExpectedExtension(name=entry.name, version=None if entry.source is Source.OWN else entry.version)
            for entry in plan.extensions
        ),
        absent=plan.absent,
        # `-name` takes an argument away instead of adding one.
        kernel_args=tuple(dict.fromkeys(argument for argument in arguments if not argument.startswith("-"))),
        files={output.path: _inspected(output) for output in plan.outputs},
        stand_in=plan.stand_in,
    )


def _inspected(output: PlannedOutput) -> str:
    return _INSPECTED.get(output.imager_kind, output.imager_kind)


def expectation_anywhere(plan: Plan) -> Expectation:
    """Return what assets of any layout are checked against: the plan's content, wherever its files lie."""
    return expectation(plan).model_copy(update={"files": None})
