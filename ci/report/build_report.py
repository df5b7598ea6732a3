"""`validation/build-report.*`: what was built, what is inside, and how every check went."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ci.common.documents import json_text, yaml_text
from ci.common.filenames import MODULES_INDEX, SIGNATURES, STAND_IN_LINE
from ci.plan.model import Plan
from ci.resolve.model import PlannedExtension

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.report.inspection import Format
    from ci.verify.model import Check, Result
    from ci.verify.reported import Report

#: Columns of text.
_WIDTH = 120

_MARKS = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}


def render_report(report: Report) -> str:
    """Return the report as text; of stand-ins the first line says so."""
    title = f"Talos boot assets: {report.variant or 'no variant named'}, {report.arch or 'unknown architecture'}"
    plan = plan_in(report)
    parts = [
        [STAND_IN_LINE, title] if report.stand_in else [title],
        _columns(_head(report, plan)),
        _caveats(plan),
        _table(("extension", "version", "source", "why"), _extensions(report, plan)),
        *(_inputs(plan) if plan else ()),
        _remarks(report),
        [f"{file.sha256}  {file.size:>12}  {file.kind:<10}  {file.path}" for file in report.files],
        [render_checks(report.checks)],
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def plan_in(report: Report) -> Plan | None:
    """Return the plan that a report carries, `None` where it carries none or one of another release."""
    try:
        return Plan.model_validate(report.plan)
    except ValidationError:
        return None


def _head(report: Report, plan: Plan | None) -> Iterator[tuple[str, str]]:
    yield "Talos", report.talos or "unknown"
    yield "kernel", report.kernel or "unknown"
    if plan is None:
        return
    origin = plan.origin
    commit = f"(commit {origin.commit})" if origin.commit else None
    yield "CozyStack", " ".join(part for part in (origin.where, origin.release, commit) if part)
    if plan.secure_boot:
        yield "secure boot", f"certificate sha256:{plan.secure_boot.certificate}"
    yield "timestamps", f"{plan.source_date.epoch} ({plan.source_date.source})"
    yield "plan", plan.id


def _caveats(plan: Plan | None) -> Iterator[str]:
    for caveat in plan.caveats if plan else ():
        yield textwrap.fill(f"CAUTION: {caveat}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _extensions(report: Report, plan: Plan | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield what is planned, in the version that was found, and then what else was found."""
    found = {extension.name: extension.version for extension in report.extensions}
    for extension in plan.extensions if plan and plan.builds_initramfs else ():
        # Of an initramfs that can't be read here, the plan says what is in it.
        version = found.pop(extension.name, "not found" if report.extensions else extension.version)
        yield extension.name, version, extension.source, extension.reason
    for name, version in found.items():
        own = name == MODULES_INDEX
        yield name, version, "imager" if own else "", "index of the extensions' kernel modules" if own else ""


def _inputs(plan: Plan) -> Iterator[Iterable[str]]:
    """Yield tables of what a plan leaves out, and of the images that it takes."""
    images = [
        (name, image) for name, image in plan.images if plan.builds_initramfs or not isinstance(image, PlannedExtension)
    ]
    dropped = plan.dropped if plan.builds_initramfs else ()
    yield _table(("left out", "by", "why"), ((entry.name, entry.by, entry.reason) for entry in dropped))
    yield _table(("built from", "image"), ((name, image.pinned) for name, image in images), wrapped=False)


def _remarks(report: Report) -> Iterator[str]:
    yield from (f"command line of {path}: {line}" for path, line in report.cmdlines.items())
    for signer, count in sorted(Counter(report.signatures.values()).items()):
        yield f"signed by {signer}: {count} of the inputs, named in {SIGNATURES}"
    for boot in report.boots:
        yield f"boot from {boot.way}: {boot.outcome}, {boot.seconds:.1f} s, timeline in {boot.picture}"


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wrapped: bool = True) -> Iterator[str]:
    """Yield rows below their heading, and nothing where there are none."""
    if found := list(rows):
        yield from _columns([heading, *found], wrapped=wrapped)


def _columns(rows: Iterable[tuple[str, ...]], *, wrapped: bool = True) -> Iterator[str]:
    """Yield rows in columns; the last one is wrapped unless it is to be found and copied whole."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*(row[:-1] for row in rows), strict=True)]
    for row in rows:
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        room = max(_WIDTH - len(start), _WIDTH // 3)
        last = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) if wrapped else [row[-1]]
        yield (start + (last[0] if last else "")).rstrip()
        yield from (" " * len(start) + line for line in last[1:])


def render_checks(checks: tuple[Check, ...]) -> str:
    """Return one line a check, of failed and skipped ones with the evidence, and a last line that counts."""
    width = max((len(check.id) for check in checks), default=0)
    lines: list[str] = []
    for check in checks:
        lines.append(f"{_MARKS[check.status]}  {check.id:<{width}}  {check.sentence}")
        if check.status != "pass":
            lines += [f"{'':<{width + 8}}- {line}" for line in check.evidence]
    count: Mapping[str, int] = {status: sum(check.status == status for check in checks) for status in _MARKS}
    lines.append(f"{len(checks)} checks: {count['pass']} passed, {count['fail']} failed, {count['skip']} skipped")
    return "\n".join(lines)


def render_result(result: Result, form: Format = "text") -> str:
    """Return a verification in one of the forms, with a line feed at the end."""
    if form == "text":
        return render_checks(result.checks) + "\n"
    document = {"ok": result.ok, **result.model_dump(mode="json")}
    if form == "json":
        return json_text(document)
    return yaml_text(document)
