"""Checks of what a board's overlay leaves in assets: boot files, boot code, kernel arguments, what nodes run again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ci.inspect.models import DiskFacts
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

_NONE = "the plan has no overlay"
#: Where Talos's installer looks for the overlay (pkg/machinery/constants, `ImagerOverlay…Path`).
_INSTALLER = "overlay/installers/default"
_OPTIONS = "overlay/extra-options"
_ARTIFACTS = "overlay/artifacts"
#: Arguments of which the last ones replace those before.
_REPLACED = ("console",)


def overlay_files(assets: Assets, expectation: Expectation) -> Verdict:
    """`overlay.files`."""
    overlay = expectation.overlay
    if overlay is None:
        return skip(_NONE)
    verdict = Verdict()
    for disk in assets.of(DiskFacts):
        there = {
            entry.path.lower(): entry.sha256
            for partition in disk.facts.partitions
            if partition.type == "esp"
            for entry in partition.entries
            if entry.type == "file"
        }
        for path, digest in overlay.files.items():
            if path.lower() not in there:
                verdict.problems.append(f"{disk.path}: the EFI system partition lacks /{path} of the overlay")
            elif there[path.lower()] != digest:
                verdict.problems.append(f"{disk.path}: /{path} of the EFI system partition is not the overlay's")
        verdict.evidence.append(f"{disk.path}: {len(overlay.files)} files of {overlay.name}")
    return verdict


def overlay_boot_code(assets: Assets, expectation: Expectation) -> Verdict:
    """`overlay.boot-code`."""
    overlay = expectation.overlay
    if overlay is None or not overlay.boot_code:
        return skip(_NONE if overlay is None else f"{overlay.name} has no boot code outside of its files")
    verdict = Verdict()
    for disk in assets.of(DiskFacts):
        for code in overlay.boot_code:
            found = disk.facts.start[code.offset : code.offset + code.size].ljust(code.size, b"\0")
            if hashlib.sha256(found).hexdigest() != code.sha256:
                what = "nothing is" if not found.strip(b"\0") else "other bytes are"
                verdict.problems.append(
                    f"{disk.path}: {what} at byte {code.offset}, where {overlay.name} has {code.size} bytes of boot "
                    "code"
                )
            verdict.evidence.append(f"{disk.path}: {code.size} bytes at byte {code.offset}")
    return verdict


def overlay_arguments(assets: Assets, expectation: Expectation) -> Verdict:
    """`overlay.arguments`."""
    overlay = expectation.overlay
    if overlay is None:
        return skip(_NONE)
    replaced = {argument.partition("=")[0] for argument in expectation.kernel_args} & {*_REPLACED}
    wanted = [
        argument
        for argument in overlay.kernel_args
        if (key := argument.partition("=")[0]) not in replaced and not {key, argument} & {*expectation.removed_args}
    ]
    verdict = Verdict()
    for path, line in assets.cmdlines():
        words = line.split()
        verdict.problems += [f"{path} lacks {word} of {overlay.name}" for word in wanted if word not in words]
        verdict.evidence.append(f"{path}: {' '.join(wanted)}")
    return verdict


def overlay_installer(assets: Assets, expectation: Expectation) -> Verdict:
    """`overlay.installer`."""
    overlay = expectation.overlay
    if overlay is None:
        return skip(_NONE)
    wanted = {_INSTALLER: overlay.installer, **{f"{_ARTIFACTS}/{p}": digest for p, digest in overlay.artifacts.items()}}
    verdict = Verdict()
    for image in assets.images:
        there = {entry.path: entry for entry in image.facts.entries if entry.type == "file"}
        verdict.problems += [f"{image.path} lacks /{path}" for path in (*wanted, _OPTIONS) if path not in there]
        verdict.problems += [
            f"{image.path}: /{path} is not the overlay's"
            for path, digest in wanted.items()
            if path in there and there[path].sha256 != digest
        ]
        if _INSTALLER in there and not there[_INSTALLER].mode & 0o111:
            verdict.problems.append(
                f"{image.path}: /{_INSTALLER} has the mode {there[_INSTALLER].mode:04o}: no program"
            )
        verdict.evidence.append(f"{image.path}: {len(wanted) + 1} files of {overlay.name}")
    return verdict
