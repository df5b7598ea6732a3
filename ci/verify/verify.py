"""The run of all requirements over a folder of boot assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.verify.assets import Assets, check_boots, expected_of, read_assets
from ci.verify.model import Check, Part, Requirement, Result, Verdict
from ci.verify.requirements import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ci.plan.expectation import Expectation

#: Can't be asked before there is a report.
OF_THE_REPORT = ("report.agrees", "report.stand-in")
#: Can't be asked before the files are signed, which is done at the very end.
OF_SIGNATURES = ("signatures.files", "signatures.key")


def run_checks(assets: Assets, expected: Expectation, requirements: Iterable[Requirement]) -> tuple[Check, ...]:
    """Return how each requirement went, in their order."""
    return tuple(
        _verdict(assets, expected, requirement).check(requirement.id, requirement.sentence)
        for requirement in requirements
    )


def _verdict(assets: Assets, expected: Expectation, requirement: Requirement) -> Verdict:
    """Run a check on what it looks at. What is not there, or was not read, is not taken for right.

    Where the plan says something that only this can show, it has to be shown; else the check is skipped.
    """
    parts = requirement.parts
    what = " and no ".join(parts)
    is_there = any(assets.has(part) for part in parts)
    verdict = requirement.run(assets, expected) if is_there else Verdict()
    unread = assets.unread(parts)
    if not is_there:
        where = f", as far as files were read: {'; '.join(unread)}" if unread else ""
        verdict.skipped = f"there is no {what}{where}"
        missing = [verdict.skipped]
    else:
        verdict.unseen += [f"not every {what} was looked at: {place}" for place in unread]
        missing = verdict.unseen
    promise = requirement.promise(expected)
    if missing and promise and (unread or (requirement.is_needed and _has_to_be_there(expected, parts))):
        verdict.problems += [f"{line}: nothing here tells {promise}" for line in missing]
    return verdict


def _has_to_be_there(expected: Expectation, parts: tuple[Part, ...]) -> bool:
    """Say whether a plan's assets without any of these parts can't be taken for the plan's."""
    if expected.files is None:
        return True
    # A build is checked for the outputs that it was asked for.
    return any(set(parts) & PARTS_OF.get(kind, set()) for kind in expected.files.values())


#: What can be in a file of each kind, as the inspection calls the kinds.
PARTS_OF: Mapping[str, set[Part]] = {
    "kernel": {Part.KERNEL},
    "initramfs": {Part.INITRAMFS},
    "cmdline": {Part.CMDLINE},
    "uki": {Part.UKI, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
    "image": {Part.IMAGE, Part.UKI, Part.LOADER, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
    "iso": {Part.MEDIUM, Part.UKI, Part.LOADER, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
    "disk": {Part.MENU, Part.MEDIUM, Part.DISK, Part.UKI, Part.LOADER, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
}


def verify(
    folder: Path, expectation: Expectation | None = None, signed: Mapping[str, str | None] | None = None
) -> Result:
    """Check a folder of boot assets of any origin against what is expected of it.

    All checks are run, whatever fails. Without an expectation the assets must agree with themselves: one architecture,
    one Talos version, the same kernel and initramfs everywhere. Raises `VerifyError` or `InspectError` only where
    there is nothing to check: no files, or none that boots. `signed` is what cosign says of the files that have a
    signature, by path below the folder: `None`, or why the key did not sign them.
    """
    assets = read_assets(folder, signed)
    check_boots(assets)
    return Result(checks=run_checks(assets, expected_of(assets, expectation), REQUIREMENTS))
