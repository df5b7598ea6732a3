"""`validation/build-report.html`: the report of a build as one page that opens from a disk, without network."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ci.common.canonical import timestamp
from ci.common.filenames import STAND_IN_LINE
from ci.plan.images import release_tag
from ci.report.pages import origins, treemap
from ci.report.pages.bill import Bill, make_bill
from ci.report.pages.templating import read_template, render_page
from ci.report.pages.uses import Use, uses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.plan.model import Plan
    from ci.verify.assets import Assets
    from ci.verify.model import Check
    from ci.verify.reported import Report

#: Lines of evidence of one check; all are in the report for programs.
_MOST_EVIDENCE: Final = 25
#: Licences of one extension.
_MOST_LICENCES: Final = 12
_TEMPLATE: Final = "build.html"
_CANVASES: Final = (("wide", treemap.WIDE), ("narrow", treemap.NARROW))
_ORDER: Final = {"fail": 0, "skip": 1, "pass": 2}


class _Stage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: str
    seconds: float | None = None


class _Verdict(BaseModel):
    """What a boot's verdict says that the page shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    way: str
    outcome: str
    seconds: float
    machine: str = ""
    stages: tuple[_Stage, ...] = ()


@dataclass(frozen=True)
class Bar:
    """From one stage of a boot to the next, in percent of the whole time."""

    name: str
    start: float
    length: float
    seconds: float


@dataclass(frozen=True)
class Boot:
    """A boot that was tried, and its stages over time."""

    verdict: _Verdict
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Extension:
    """An extension: what was planned, what was found, what its own documents say."""

    name: str
    version: str
    source: str
    reason: str
    image: str
    licences: tuple[str, ...]


def read_templates() -> None:
    """Have the templates compiled, which takes a third of a second and can be done beside other things."""
    read_template(_TEMPLATE)


def build_page(report: Report, plan: Plan, assets: Assets, sbom: Mapping[str, Any]) -> str:
    """Return the page. `report` carries the checks; `sbom` is the SPDX document that lies next to it."""
    bill = make_bill(sbom)
    whole = treemap.space(assets)
    use = uses(plan, release_tag(plan))
    return render_page(
        _TEMPLATE,
        title=f"{plan.variant} for {plan.arch.value}, Talos {plan.talos_version}",
        report=report,
        plan=plan,
        stand_in=STAND_IN_LINE if report.stand_in else "",
        time=timestamp(plan.source_date.epoch),
        files=[(file, use.get(file.path, Use(_about(file.path)))) for file in report.files],
        total=sum(file.size for file in report.files if not file.path.startswith("validation/")),
        whole=whole,
        maps=[_Map(style, canvas, treemap.boxes(whole, canvas)) for style, canvas in _CANVASES] if whole else [],
        largest=treemap.largest,
        extensions=list(_extensions(report, plan, bill)),
        dropped=plan.dropped if plan.builds_initramfs else (),
        checks=[_Shown(check) for check in sorted(report.checks, key=lambda check: _ORDER[check.status])],
        counts={status: sum(check.status == status for check in report.checks) for status in _ORDER},
        boots=list(_boots(assets)),
        picture=origins.picture(plan),
        picture_width=origins.WIDTH,
        images=plan.images,
        bill=bill,
        owners=sorted({package.owner for package in bill.packages}),
    )


@dataclass(frozen=True)
class _Map:
    """What takes the space as a picture, for one width of the window."""

    #: Its class in the style, which shows one of them.
    style: str
    canvas: treemap.Canvas
    boxes: list[treemap.Box]


class _Shown:
    """A check as the page shows it: evidence that is too long for it is cut."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.evidence = check.evidence[:_MOST_EVIDENCE]
        self.more = len(check.evidence) - len(self.evidence)


def _about(path: str) -> str:
    return "a boot's record" if path.startswith("validation/boot-") else ""


def _extensions(report: Report, plan: Plan, bill: Bill) -> Iterator[Extension]:
    """Yield what is planned, in the version that was found, and then what else was found."""
    found = {one.name: one.version for one in report.extensions}
    for one in plan.extensions if plan.builds_initramfs else ():
        version = found.pop(one.name, "not found" if report.extensions else one.version)
        licences = _licences(bill, one.name)
        yield Extension(one.name, version, one.source.value, one.reason, one.pinned, licences)
    for name, version in found.items():
        yield Extension(
            name, version, "", "not in the plan: added by the imager, or a stranger", "", _licences(bill, name)
        )


def _licences(bill: Bill, name: str) -> tuple[str, ...]:
    found = bill.licences.get(name, ())
    more = len(found) - _MOST_LICENCES
    return (*found[:_MOST_LICENCES], f"{more} more in the table below") if more > 0 else found


def _boots(assets: Assets) -> Iterator[Boot]:
    for name in sorted(assets.files):
        if name.startswith("validation/boot-") and name.endswith(".json"):
            with suppress(ValidationError):
                verdict = _Verdict.model_validate_json(assets.text(name) or "")
                yield Boot(verdict, tuple(_bars(verdict)))


def _bars(verdict: _Verdict) -> Iterator[Bar]:
    reached = [(one.stage, one.seconds) for one in verdict.stages if one.seconds is not None]
    end = max([verdict.seconds, 0.1, *(seconds for _, seconds in reached)])
    last = 0.0
    for stage, seconds in reached:
        start = min(last, seconds)
        yield Bar(stage, round(100 * start / end, 2), round(100 * (seconds - start) / end, 2), seconds)
        last = max(last, seconds)
