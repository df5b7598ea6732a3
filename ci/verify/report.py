"""`validation/build-report.*`: what was built, what is inside, and how every check went."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ci.verify.checksums import UNLISTED
from ci.verify.model import Check, Expectation, Result, VerifyError
from ci.verify.planned import Extension, Planned, plan_id, read_plan
from ci.verify.signatures import SIGNATURES, read_signatures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.inspect.render import Format
    from ci.verify.assets import Assets

STAND_IN_LINE = "STAND-IN: made from the lab's stand-in images. Not for real machines, not to be published."

#: The layer that the imager adds to extensions with kernel modules.
_MODULES_LAYER = "modules.dep"
#: Columns of text.
_WIDTH = 120

_BOOT = re.compile(r"validation/boot-[a-z]+\.json")
_MARKS = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportedFile(_Value):
    """One file of the assets."""

    path: str
    kind: str
    size: int
    sha256: str


class ReportedExtension(_Value):
    """One extension of the initramfs."""

    name: str
    version: str
    image: str


class ReportedBoot(BaseModel):
    """One boot that was tried of these assets; its verdict says more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: What was booted from: kernel, uki, iso, metal.
    way: str
    outcome: str
    #: Until the machine was up, or the boot was given up.
    seconds: float

    @property
    def picture(self) -> str:
        """Path of the stages over time."""
        return f"validation/boot-{self.way}.svg"


class Report(_Value):
    """The report's JSON document; the text says the same."""

    format: int = 1
    stand_in: bool
    variant: str | None
    arch: str | None
    talos: str | None
    #: Release of the kernel, as its banner says it.
    kernel: str | None
    extensions: tuple[ReportedExtension, ...]
    #: Every command line by the path of what holds it.
    cmdlines: dict[str, str]
    files: tuple[ReportedFile, ...]
    checks: tuple[Check, ...]
    boots: tuple[ReportedBoot, ...] = ()
    #: Whose signature was found on an input, by reference with digest; empty where none was looked for.
    signatures: dict[str, str] = {}
    #: The plan as it was given: every input with its digest and reason.
    plan: Any = None


def make_report(assets: Assets, expectation: Expectation, result: Result, plan: Any = None) -> Report:
    """Returns the report of a verification."""
    initramfs = assets.initramfs[:1]
    return Report(
        stand_in=assets.stand_in if expectation.stand_in is None else expectation.stand_in,
        variant=expectation.variant,
        arch=expectation.arch,
        talos=expectation.talos,
        kernel=next((kernel.facts.version for kernel in assets.kernels), None),
        extensions=tuple(
            ReportedExtension(name=layer.name, version=layer.version, image=layer.image)
            for found in initramfs
            for layer in found.facts.layers or ()
        ),
        cmdlines=dict(assets.cmdlines()),
        files=tuple(
            ReportedFile(path=node.name, kind=node.kind, size=node.size, sha256=node.sha256)
            for node in assets.inspection.contents
            if node.name not in UNLISTED
        ),
        checks=result.checks,
        boots=tuple(_boots(assets)),
        signatures=read_signatures(assets.text(SIGNATURES)),
        plan=plan,
    )


def _boots(assets: Assets) -> Iterator[ReportedBoot]:
    for name in sorted(assets.files):
        if _BOOT.fullmatch(name):
            with suppress(ValidationError):
                yield ReportedBoot.model_validate_json(assets.text(name) or "")


def parse_report(text: str, name: str) -> Report:
    """Returns the report in a JSON document."""
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise VerifyError(f"{name}: {'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}") from error


def render_report(report: Report) -> str:
    """Returns the report as text; of stand-ins the first line says so."""
    title = f"Talos boot assets: {report.variant or 'no variant named'}, {report.arch or 'unknown architecture'}"
    plan = read_plan(report.plan)
    parts = [
        [STAND_IN_LINE, title] if report.stand_in else [title],
        _columns(_head(report, plan)),
        _table(("extension", "version", "source", "why"), _extensions(report, plan)),
        *(_inputs(plan) if plan else ()),
        _remarks(report),
        [f"{file.sha256}  {file.size:>12}  {file.kind:<10}  {file.path}" for file in report.files],
        [render_checks(report.checks)],
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _head(report: Report, plan: Planned | None) -> Iterator[tuple[str, str]]:
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
    yield "plan", plan_id(report.plan)


def _extensions(report: Report, plan: Planned | None) -> Iterator[tuple[str, str, str, str]]:
    """Yields what is planned, in the version that was found, and then what else was found."""
    found = {extension.name: extension.version for extension in report.extensions}
    for extension in plan.extensions if plan and plan.has_initramfs else ():
        # Of an initramfs that can't be read here, the plan says what is in it.
        version = found.pop(extension.name, "not found" if report.extensions else extension.version)
        yield extension.name, version, extension.source, extension.reason
    for name, version in found.items():
        own = name == _MODULES_LAYER
        yield name, version, "imager" if own else "", "index of the extensions' kernel modules" if own else ""


def _inputs(plan: Planned) -> Iterator[Iterable[str]]:
    """Yields tables of what a plan leaves out, and of the images that it takes."""
    images = [(name, image) for name, image in plan.images if plan.has_initramfs or not isinstance(image, Extension)]
    dropped = plan.dropped if plan.has_initramfs else ()
    yield _table(("left out", "by", "why"), ((entry.name, entry.by, entry.reason) for entry in dropped))
    yield _table(("built from", "image"), ((name, image.pinned) for name, image in images), wrapped=False)


def _remarks(report: Report) -> Iterator[str]:
    yield from (f"command line of {path}: {line}" for path, line in report.cmdlines.items())
    for signer, count in sorted(Counter(report.signatures.values()).items()):
        yield f"signed by {signer}: {count} of the inputs, named in {SIGNATURES}"
    for boot in report.boots:
        yield f"boot from {boot.way}: {boot.outcome}, {boot.seconds:.1f} s, timeline in {boot.picture}"


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wrapped: bool = True) -> Iterator[str]:
    """Yields rows below their heading, and nothing where there are none."""
    if found := list(rows):
        yield from _columns([heading, *found], wrapped=wrapped)


def _columns(rows: Iterable[tuple[str, ...]], *, wrapped: bool = True) -> Iterator[str]:
    """Yields rows in columns; the last one is wrapped unless it is to be found and copied whole."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*(row[:-1] for row in rows), strict=True)]
    for row in rows:
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        room = max(_WIDTH - len(start), _WIDTH // 3)
        last = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) if wrapped else [row[-1]]
        yield (start + (last[0] if last else "")).rstrip()
        yield from (" " * len(start) + line for line in last[1:])


def render_checks(checks: tuple[Check, ...]) -> str:
    """Returns one line a check, of failed and skipped ones with the evidence, and a last line that counts."""
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
    """Returns a verification in one of the forms, with a line feed at the end."""
    if form == "text":
        return render_checks(result.checks) + "\n"
    document = {"ok": result.ok, **result.model_dump(mode="json")}
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
