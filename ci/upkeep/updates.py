"""What is newer than what is pinned, and the files with the newer versions in them.

    release = "v" number "." number "." number        v1.6.2
    version = ["v"] number {"." number} [rest]        1.98.1, v0.25.1, 2.4.3-v1.13.6 (for Talos v1.13.6)

A rest that begins with alpha, beta, pre, rc or dev marks a candidate, which is older than its final version. A
candidate is only proposed where one is in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import yaml

from ci.common.errors import PlanError, suggest
from ci.load.variant import parse_variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.common.pins import Release
    from ci.load.catalog import Catalog
    from ci.load.variant import AddedExtension, Variant
    from ci.plan.model import Plan

_RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_TAG = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_PART = re.compile(r"v?(?P<numbers>\d+(?:\.\d+)*)(?P<rest>.*)", re.DOTALL)
_CANDIDATE = re.compile(r"[-.+_~]?(?:alpha|beta|pre|rc|dev)", re.IGNORECASE)
_PIN = re.compile(r'^(DEFAULT_RELEASE: Final = Release\()"[^"]*", "[^"]*", \d+\)', re.MULTILINE)


def newest(tags: Iterable[str], current: str) -> str | None:
    """Return the newest release among the tags, or `None` where none is newer than the current one."""
    found = [tag for tag in tags if _RELEASE.fullmatch(tag)]
    return max((tag for tag in found if order(tag) > order(current)), key=order, default=None)


def known_release(tags: Iterable[str], wanted: str) -> str:
    """Return the tag if there is one; raises `PlanError` with the nearest one."""
    known = sorted((tag for tag in tags if _TAG.fullmatch(tag)), key=order)
    if wanted not in known:
        raise PlanError(f"the repository has no release {wanted}: {suggest(wanted, known)}")
    return wanted


#: Numbers, whether it is final, and words and numbers behind: of a version, and of the Talos version behind it.
Order: TypeAlias = "tuple[tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]], ...]"


def order(version: str) -> Order:
    """Return what versions are sorted by."""
    return tuple(_part(part) for part in re.split(r"-v(?=\d)", version))


def is_candidate(version: str) -> bool:
    """Tell whether a version is marked as not final."""
    return not all(final for _, final, _ in order(version))


def _part(text: str) -> tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]:
    found = _PART.fullmatch(text)
    numbers = [int(number) for number in found["numbers"].split(".")] if found else []
    while numbers and numbers[-1] == 0:  # 1.2 is 1.2.0
        numbers.pop()
    rest = found["rest"] if found else text
    words = re.findall(r"\d+|[a-z]+", rest.lower())
    ranked = tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words)
    return tuple(numbers), not _CANDIDATE.match(rest), ranked


@dataclass(frozen=True)
class NewerExtension:
    """A version in a variant's file, and the newer one that the catalog has."""

    variant: str
    name: str
    version: str
    newer: str
    #: Whether the variant is one of this project's; a user's own file is not in the checkout.
    builtin: bool = True


def newer_extensions(variant: Variant, catalog: Catalog, *, builtin: bool = True) -> Iterator[NewerExtension]:
    """Return the versions that a variant names and that the catalog has newer; references by digest are one's own."""
    for added in variant.spec.extensions.add:
        entry = catalog.entries.get(added.name)
        if added.version is None or entry is None or entry.reference.tag is None:
            continue
        newer = entry.reference.tag
        if order(newer) > order(added.version) and (is_candidate(added.version) or not is_candidate(newer)):
            yield NewerExtension(variant.name, added.name, added.version, newer, builtin)


def with_extensions(file: str, text: str, newer: Iterable[NewerExtension]) -> str:
    """Return a variant's file with the newer versions; all else in it stays as it is, byte for byte.

    Raises `PlanError` for a version that is not in the file, or is written in a way that can't be edited in place.
    """
    wanted = {one.name: one for one in newer}
    before = parse_variant(file, text).spec
    added = [one.model_copy(update={"version": wanted[one.name].newer}) if _is(one, wanted) else one
             for one in before.extensions.add]  # fmt: skip
    if missing := sorted(wanted.keys() - {one.name for one in before.extensions.add if _is(one, wanted)}):
        raise PlanError(f"{file} does not add {', '.join(missing)}: it is not the file of the variant in use")
    edits = [
        _edit(text, index, wanted[one.name]) for index, one in enumerate(before.extensions.add) if _is(one, wanted)
    ]
    changed = text
    for start, end, word in sorted((edit for edit in edits if edit), reverse=True):
        changed = changed[:start] + word + changed[end:]
    # An anchor that is used elsewhere would change more than the version.
    after = before.model_copy(update={"extensions": before.extensions.model_copy(update={"add": tuple(added)})})
    if None in edits or parse_variant(file, changed).spec != after:
        names = ", ".join(f"{one.name} {one.version}" for one in wanted.values())
        raise PlanError(f"{file}: can't be edited in place: update {names} by hand")
    return changed


def _is(added: AddedExtension, wanted: Mapping[str, NewerExtension]) -> bool:
    return added.name in wanted and added.version == wanted[added.name].version


def _edit(text: str, index: int, one: NewerExtension) -> tuple[int, int, str] | None:
    """Return where the version of an added extension begins and ends, and what to write there."""
    node = _node(yaml.compose(text, yaml.SafeLoader), ("extensions", "add", index))
    word = f"{one.name}:{one.newer}"
    if isinstance(node, yaml.MappingNode):
        node, word = _node(node, ("version",)), one.newer
    if not isinstance(node, yaml.ScalarNode):
        return None
    quote = node.style or ""
    end = node.end_mark.index
    start = end - len(written := f"{quote}{node.value}{quote}")  # an anchor is before it
    if text[start:end] != written:
        return None
    if not quote and not isinstance(yaml.safe_load(word), str):
        quote = '"'
    return start, end, f"{quote}{word}{quote}"


def _node(node: yaml.Node | None, path: Iterable[str | int]) -> yaml.Node | None:
    """Return the node at a path, `None` where there is none."""
    for part in path:
        if isinstance(part, int) and isinstance(node, yaml.SequenceNode):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == part), None)
        else:
            return None
    return node


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
        *(f"dropped: {name}" for name in sorted(_names(after) - _names(before))),
        *(f"no more dropped: {name}" for name in sorted(_names(before) - _names(after))),
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


def report(
    differences: Mapping[str, list[str]], newer: Iterable[NewerExtension], tools: Mapping[str, str] | None = None
) -> str:
    """Return the differences by variant, the versions in variants' files, and the images of tools, as text to read."""
    lines = [f"{name}\n" + "".join(f"  {line}\n" for line in said) for name, said in differences.items() if said]
    lines += [
        f"{one.variant}: {one.name} {one.version} → {one.newer}{'' if one.builtin else ', in your own file'}\n"
        for one in newer
    ]
    for before, after in (tools or {}).items():
        tagged, _, digest = before.partition("@")
        lines.append(f"{tagged}: {digest[:19]} → {after.partition('@')[2][:19]}\n")
    return "\n".join(lines) if lines else "nothing is newer\n"
