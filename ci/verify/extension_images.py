"""Checks of system extension images before they are packed: what the imager accepts without a word."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ci.inspect.errors import InspectError
from ci.inspect.inspect import inspect_path
from ci.inspect.models import ExtensionFacts
from ci.verify.checks_extensions import compatibility, overlaps
from ci.verify.model import Result, Verdict
from ci.verify.paths import foreign_programs, mode_problems, path_problems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MANIFEST_VERSION = "v1alpha1"


def check_extensions(paths: Sequence[Path], talos: str, arch: str) -> Result:
    """Checks the extension images of one plan, each an unpacked file tree or a tar of it.

    All of a plan belong in one call: two of the same name, and two that carry the same file, are seen only so.
    """
    unreadable = Verdict()
    found: list[tuple[str, ExtensionFacts]] = []
    for path in paths:
        try:
            facts = inspect_path(path).facts
        except InspectError as error:
            unreadable.problems.append(str(error))
            continue
        if isinstance(facts, ExtensionFacts):
            found.append((path.name, facts))
            unreadable.evidence.append(f"{path.name}: {facts.name} {facts.version}")
        else:
            unreadable.problems.append(f"{path}: no system extension: /manifest.yaml and /rootfs are not both there")
    manifests = Verdict(
        problems=[
            f"{label}: manifest version {facts.manifest_version!r}, Talos knows {_MANIFEST_VERSION!r}"
            for label, facts in found
            if facts.manifest_version != _MANIFEST_VERSION
        ]
        + [
            f"{label}: /{stray} lies beside manifest.yaml and rootfs, which Talos refuses"
            for label, facts in found
            for stray in facts.strays
        ]
    )
    names = Counter(facts.name for _, facts in found)
    checks = (
        ("extension.readable", "Every extension has a valid manifest and a root file system.", unreadable),
        ("extension.manifest", "Every manifest is of the version that Talos knows, with nothing beside it.", manifests),
        (
            "extension.compatible",
            "Every extension is compatible with the Talos version.",
            compatibility([(label, facts.compatibility) for label, facts in found], talos),
        ),
        (
            "extension.paths",
            "Extensions carry files only where Talos allows them.",
            Verdict([f"{label}: {line}" for label, facts in found for line in path_problems(facts.entries, talos)]),
        ),
        (
            "extension.modes",
            "Nothing in an extension is writable by everyone.",
            Verdict([f"{label}: {line}" for label, facts in found for line in mode_problems(facts.entries)]),
        ),
        (
            "extension.machine",
            "Every ELF file is for the wanted architecture, firmware apart.",
            Verdict([f"{label}: {line}" for label, facts in found for line in foreign_programs(facts.entries, arch)]),
        ),
        (
            "extension.unique",
            "No two extensions have the same name.",
            Verdict([f"{name} is there {count} times" for name, count in sorted(names.items()) if count > 1]),
        ),
        (
            "extension.overlap",
            "No two extensions carry different files at the same path.",
            Verdict(overlaps([(facts.name, facts.entries) for _, facts in found])),
        ),
    )
    return Result(checks=tuple(verdict.check(name, sentence) for name, sentence, verdict in checks))
