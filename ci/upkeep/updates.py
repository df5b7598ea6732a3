"""What is newer than what is pinned, and the files with the newer versions in them.

A release is a tag of the form v1.6.2; what is marked as not final (v1.7.0-rc.1) is never proposed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.common.errors import PlanError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.common.pins import Release
    from ci.load.catalog import Catalog
    from ci.load.variant import Variant
    from ci.plan.model import Plan

_RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_PIN = re.compile(r'^(DEFAULT_RELEASE: Final = Release\()"[^"]*", "[^"]*", \d+\)', re.MULTILINE)


def newest(tags: Iterable[str], current: str) -> str | None:
    """Return the newest release among the tags, or `None` where none is newer than the current one."""
    found = [tag for tag in tags if _RELEASE.fullmatch(tag)]
    return max((tag for tag in found if _numbers(tag) > _numbers(current)), key=_numbers, default=None)


def known_release(tags: Iterable[str], wanted: str) -> str:
    """Return the tag if there is one; raises `PlanError` with the nearest one."""
    known = [tag for tag in tags if _RELEASE.fullmatch(tag)]
    if wanted not in known:
        raise PlanError(f"the repository has no release {wanted}: {suggest(wanted, known)}")
    return wanted


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


@dataclass(frozen=True)
class NewerExtension:
    """A version in a variant's file, and the newer one that the catalog has."""

    variant: str
    name: str
    version: str
    newer: str
    line: int


def newer_extensions(variant: Variant, catalog: Catalog) -> Iterator[NewerExtension]:
    """Return the versions that a variant names and that the catalog has newer; references by digest are one's own."""
    for index, added in enumerate(variant.spec.extensions.add):
        entry = catalog.entries.get(added.name)
        line = variant.document.line(("extensions", "add", index))
        if added.version is None or entry is None or entry.reference.tag is None or line is None:
            continue
        if _numbers(entry.reference.tag) > _numbers(added.version):
            yield NewerExtension(variant.name, added.name, added.version, entry.reference.tag, line)


def with_extensions(text: str, newer: Iterable[NewerExtension]) -> str:
    """Return a variant's file with the newer versions; all else in it stays as it is."""
    lines = text.splitlines(keepends=True)
    for one in newer:
        # in a mapping, the version may stand some lines below the item's first
        at = next(number for number in range(one.line - 1, len(lines)) if one.version in lines[number])
        lines[at] = lines[at].replace(one.version, one.newer, 1)
    return "".join(lines)


def with_release(text: str, release: Release) -> str:
    """Return the file of pins with another default release."""
    changed, count = _PIN.subn(rf'\g<1>"{release.tag}", "{release.commit}", {release.date})', text)
    if count != 1:
        raise PlanError("the pins have no line DEFAULT_RELEASE: Final = Release(…): update it by hand")
    return changed


def changes(before: Plan, after: Plan) -> list[str]:
    """Say what another release makes of a variant: a line for each difference between the plans."""
    said = [
        _change("CozyStack", before.origin.release or before.origin.where, after.origin.release or after.origin.where),
        _change("Talos", before.talos_version, after.talos_version),
        *_changed_names(
            {one.name: f"{one.version} ({one.digest[7:19]})" for one in before.extensions},
            {one.name: f"{one.version} ({one.digest[7:19]})" for one in after.extensions},
        ),
        *(f"dropped: {name}" for name in _names(after) - _names(before)),
        *(f"no more dropped: {name}" for name in _names(before) - _names(after)),
    ]
    return [line for line in said if line]


def _names(plan: Plan) -> set[str]:
    return {one.name for one in plan.dropped}


def _change(what: str, before: str, after: str) -> str:
    return f"{what}: {before} → {after}" if before != after else ""


def _changed_names(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"- {name} {before[name]}"
        elif name not in before:
            yield f"+ {name} {after[name]}"
        else:
            yield _change(name, before[name], after[name])


def report(differences: Mapping[str, list[str]], newer: Iterable[NewerExtension]) -> str:
    """Return the differences by variant, and the versions in variants' files, as text to read."""
    lines = [f"{name}\n" + "".join(f"  {line}\n" for line in said) for name, said in differences.items() if said]
    lines += [f"{one.variant}: {one.name} {one.version} → {one.newer}\n" for one in newer]
    return "\n".join(lines) if lines else "nothing is newer\n"
