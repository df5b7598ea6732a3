"""What changed between two inspections: what a person wants to know before an upgrade."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from ci.common.documents import json_text, yaml_text
from ci.common.filenames import is_signature
from ci.common.text import escaped
from ci.inspect import models
from ci.report.inspection import Format, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Change(BaseModel):
    """One thing that differs: in which part, what, and its two values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Path of the file or of the part inside it; empty for the compared things themselves.
    place: str
    #: `added` and `removed` have one value, `changed` has two.
    kind: Literal["added", "removed", "changed"]
    #: `version`, `extension spin`, `file usr/bin/x`, `command line`, `size`…
    what: str
    before: str | None = None
    after: str | None = None


class Difference(BaseModel):
    """All changes, those that matter most first in each part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str
    after: str
    changes: tuple[Change, ...]
    #: Signed programs of which all but the signature was compared, by path.
    without_signature: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)

    @property
    def changed(self) -> bool:
        """Return whether there is any difference."""
        return bool(self.changes)


#: Comparable values of one part, in the order in which they are reported.
_Values = dict[str, str]


def diff(before: models.Inspection, after: models.Inspection) -> Difference:
    """Return what came, went and changed from `before` to `after`; names of the two themselves do not count."""
    programs = sorted({program for node in (before, after) for program in _unsigned("", node)})
    return Difference(
        before=before.name,
        after=after.name,
        changes=tuple(_changes("", before, after)),
        without_signature=tuple(programs),
    )


def _unsigned(place: str, node: models.Inspection) -> Iterator[str]:
    for program in node.unsigned:
        yield ":".join(part for part in (place, program) if part) or node.name
    for inner in node.contents:
        yield from _unsigned(f"{place}:{inner.name}" if place and node.kind != "folder" else inner.name, inner)


def _is_repacked(node: models.Inspection) -> bool:
    """Say whether a signed program changes bytes around it, too: those of its packed form, digests of it."""
    facts = node.facts
    packed = isinstance(facts, models.DiskFacts) and (facts.compression != "none" or facts.format != "raw")
    return (packed or isinstance(node.facts, models.ImageFacts | models.ArchiveFacts)) and any(
        True for _ in _unsigned("", node)
    )


#: Kinds of what is no file.
_WITHOUT_DIGEST = ("folder", "extension", "image")


def _changes(place: str, before: models.Inspection, after: models.Inspection) -> Iterator[Change]:
    if before.sha256 and before.sha256 == after.sha256:
        return
    if before.kind != after.kind:
        yield Change(place=place, kind="changed", what="kind", before=before.kind, after=after.kind)
    values = list(_compare(place, _values(before), _values(after)))
    yield from values
    inner = list(_contents(place, before, after))
    yield from inner
    # Bytes that differ, and nothing that is compared does: what differs is not equal.
    if not values and not inner and not before.sha256 and before.kind not in _WITHOUT_DIGEST:
        yield Change(place=place, kind="changed", what="content", before="not compared: too large for a checksum")
    elif not values and not inner and before.sha256 != after.sha256 and not _is_repacked(before):
        yield Change(place=place, kind="changed", what="content", before=before.sha256[:12], after=after.sha256[:12])


def _contents(place: str, before: models.Inspection, after: models.Inspection) -> Iterator[Change]:
    old = {_key(before, node): node for node in before.contents}
    new = {_key(after, node): node for node in after.contents}
    both = old.keys() & new.keys()
    for name in sorted(old.keys() | new.keys()):
        # A detached signature is of other bytes every time: what counts is whether there is one.
        if before.kind == "folder" and name in both and is_signature(name, both):
            continue
        path = f"{place}:{name}" if place and before.kind != "folder" else f"{place}/{name}".lstrip("/")
        if name not in new:
            yield Change(place=path, kind="removed", what=old[name].kind, before=size_text(old[name].size))
        elif name not in old:
            yield Change(place=path, kind="added", what=new[name].kind, after=size_text(new[name].size))
        elif old[name].same_as is None and new[name].same_as is None:
            yield from _changes(path, old[name], new[name])
        elif (old[name].same_as is None) != (new[name].same_as is None) and old[name].sha256 != new[name].sha256:
            # Of two repetitions the change is reported where the bytes are first.
            digests = old[name].sha256[:12], new[name].sha256[:12]
            yield Change(place=path, kind="changed", what="content", before=digests[0], after=digests[1])


def _key(parent: models.Inspection, node: models.Inspection) -> str:
    """Return what a part is known by: an extension's image by the extension's name, not by its place in the list."""
    if isinstance(parent.facts, models.InitramfsFacts):
        return next((layer.name for layer in parent.facts.layers or () if layer.image == node.name), node.name)
    return node.name


def _compare(place: str, before: _Values, after: _Values) -> Iterator[Change]:
    for what in sorted(dict.fromkeys([*before, *after]), key=_rank):
        old, new = before.get(what), after.get(what)
        if old == new:
            continue
        kind = "added" if old is None else "removed" if new is None else "changed"
        yield Change(place=place, kind=kind, what=what, before=old, after=new)


def _rank(what: str) -> int:
    """Versions and settings first, files then, the size last."""
    return 2 if what == "size" else 1 if what.startswith("file ") else 0


def _values(node: models.Inspection) -> _Values:  # noqa: C901 (one short case for each kind)
    values: _Values = {}
    match node.facts:
        case models.KernelFacts() as facts:
            values = {"version": str(facts.version), "machine": facts.machine, "format": facts.format}
        case models.UkiFacts() as facts:
            values = {"Talos version": str(facts.osrel.get("VERSION_ID")), "kernel": str(facts.uname)}
            values |= {"machine": facts.machine, **_cmdline(facts.cmdline or "")}
        case models.EfiFacts() as facts:
            values = {"machine": facts.machine, "sbat": facts.sbat or ""}
        case models.InitramfsFacts() as facts:
            values = {f"extension {layer.name}": layer.version for layer in facts.layers or ()}
            values |= _files(entry for frame in facts.frames for entry in frame.entries)
        case models.SquashfsFacts() as facts:
            values = {"compression": facts.compression, **_files(facts.entries)}
        case models.ImageFacts() as facts:
            values = {"architecture": facts.architecture}
            values |= {f"label {key}": value for key, value in facts.labels.items()}
            values |= _files(facts.entries)
        case models.ExtensionFacts() as facts:
            values = {"version": facts.version, "compatibility": facts.compatibility, **_files(facts.entries)}
        case models.IsoFacts() as facts:
            values = {"volume": facts.volume, **_files(facts.entries)}
        case models.ArchiveFacts() | models.FolderFacts() as facts:
            values = _files(facts.entries)
        case models.DiskFacts() as facts:
            for partition in facts.partitions:
                values[f"partition {partition.name}"] = f"{partition.type}, {size_text(partition.size)}"
                values |= _files(partition.entries)
            values |= {f"partition {partition.name}: not read": partition.reason for partition in facts.unread}
        case models.CmdlineFacts() as facts:
            values = _cmdline(facts.cmdline) | {f"boots {number}": url for number, url in enumerate(facts.boots)}
        case models.MenuFacts() as facts:
            values = {f"menu entry {entry.title}": f"{entry.kernel} {entry.cmdline}" for entry in facts.entries}
        case _:
            pass
    if node.kind != "folder":
        values["size"] = size_text(node.size)
    return values


def _cmdline(line: str) -> _Values:
    """Return each argument by its name; one that is given twice, as `console`, with all its values."""
    values: _Values = {}
    for word in line.split():
        name, _, value = word.partition("=")
        key = f"argument {name}"
        values[key] = f"{values[key]} {value}" if key in values else value
    return values


def _files(entries: Iterable[models.Entry]) -> _Values:
    """Return each file by its path. Squashfs images are compared by what is in them, not by their bytes."""
    values: _Values = {}
    for entry in entries:
        if entry.type == "directory" or entry.path.endswith(".sqsh") or entry.path == "extensions.yaml":
            continue
        value = f"{size_text(entry.size)} {(entry.sha256 or '')[:12]}" if entry.type == "file" else entry.type
        target = f" to {entry.target}" if entry.target is not None else ""
        values[f"file {entry.path}"] = f"{value}{target} {entry.mode:04o}"
    return values


def render_diff(difference: Difference, form: Format) -> str:
    """Return the difference as text or as a document."""
    if form != "text":
        document = difference.model_dump(mode="json", exclude_none=True)
        return json_text(document) if form == "json" else yaml_text(document)
    lines = [escaped(f"--- {difference.before}"), escaped(f"+++ {difference.after}")]
    place: str | None = None
    for change in difference.changes:
        if change.place != place:
            place = change.place
            lines.append(escaped(f"@@ {place or 'the two themselves'}"))
        lines.append(escaped(_line(change)))
    if not difference.changes:
        lines.append("no difference")
    if difference.without_signature:
        programs = ", ".join(difference.without_signature)
        lines.append(escaped(f"compared without their signatures, which have the time of signing: {programs}"))
    return "\n".join(lines) + "\n"


def _line(change: Change) -> str:
    if change.kind == "added":
        return f"+ {change.what}: {change.after}"
    if change.kind == "removed":
        return f"- {change.what}: {change.before}"
    return f"! {change.what}: {change.before} -> {change.after}"
