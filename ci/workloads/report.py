"""The report on a checkout's workloads, and how it is shown: as text, JSON, YAML, or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from ci.common.documents import json_text, yaml_text
from ci.common.text import escaped
from ci.common.values import Value
from ci.report.pages.templating import render_page
from ci.report.tables import WIDTH, Format, render, wrapped
from ci.workloads.advise import Advice
from ci.workloads.answers import Answers
from ci.workloads.verdict import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from ci.workloads.changes import Changes
    from ci.workloads.verdict import Cause, SourceState

#: Columns of the text, on which a reference that is longer is not broken.
_WIDTH: Final = WIDTH
#: Images of one cause that the tables show; the lists below them have all.
_SHOWN: Final = 4

#: What is not seen, however it is looked for.
LIMITS: Final = (
    (
        "Images that a program chooses while it runs (an operator's own default that is compiled into it, a version "
        "that a user orders) are seen only where a chart or a file in the checkout names them."
    ),
    (
        "Values are the packages' own: what an administrator sets differently is not known, nor what another package "
        "hands down to a chart when it installs it."
    ),
    "Templates that ask the cluster (lookup, Capabilities) are read as `helm template` reads them: without a cluster.",
    (
        "arm64 in an index says that an image is published, not that it works. --deep looks at the program that "
        "starts; libraries and further programs in the image are not looked at."
    ),
)


class Report(Value):
    """All that is known of a checkout's workloads."""

    #: The checkout, in words.
    checkout: str
    verdict: Verdict
    advice: tuple[Advice, ...] = ()
    #: Whether charts were rendered with Helm as well.
    rendered: bool = False
    #: What registries made to wait for, and what else was said while asking.
    remarks: tuple[str, ...] = ()
    answers: Answers

    @property
    def counts(self) -> dict[str, int]:
        """Packages, those with images, and images, by what the tables count."""
        packages = self.verdict.packages
        running = [image for image in self.verdict.images if image.packages]
        return {
            "packages": len(packages),
            "packagesWithImages": sum(any(image.runs for image in package.images) for package in packages),
            "images": len(running),
            "imagesNamedOnly": len(self.verdict.images) - len(running),
            **{f"images{state.capitalize()}": sum(one.state is state for one in running) for state in State},
        }


def report_as(report: Report, form: Format) -> str:
    """Return the report in a format; JSON and YAML have the recorded answers too."""
    if form is Format.TEXT:
        return report_text(report)
    if form is Format.HTML:
        title = f"What of CozyStack runs on {report.verdict.arch}"
        return render_page(
            "workloads.html", title=title, stand_in=None, report=report, limits=LIMITS, counts=report.counts
        )
    document = {"counts": report.counts, **report.model_dump(mode="json"), "limits": list(LIMITS)}
    return yaml_text(document) if form is Format.YAML else json_text(document)


def changes_as(changes: Changes, form: Format, titles: tuple[str, str]) -> str:
    """Return the difference of two releases in a format."""
    if form is Format.TEXT:
        return changes_text(changes, titles)
    if form is Format.HTML:
        title = f"What gained or lost {changes.arch}"
        return render_page("workloads_diff.html", title=title, stand_in=None, changes=changes, titles=titles)
    document = {"before": titles[0], "after": titles[1], "lost": changes.lost, **changes.model_dump(mode="json")}
    return yaml_text(document) if form is Format.YAML else json_text(document)


def selectors_text(entries: Sequence[dict[str, Any]]) -> str:
    """Return the list of patches as YAML; a patch is a text of its own, as Kustomize wants it."""
    if not entries:
        return "[]\n"
    documents: list[dict[str, Any]] = []
    for entry in entries:
        patches = [
            {"target": one["target"], "patch": yaml.safe_dump(one["patch"], sort_keys=False)}
            for one in entry.get("patches", ())
        ]
        documents.append({**entry, **({"patches": patches} if patches else {})})
    return yaml_text(documents)


def report_text(report: Report) -> str:
    """Return the report as text: bundles and applications first, then what each "no" depends on, and what to do."""
    verdict, counts = report.verdict, report.counts
    arch = verdict.arch
    parts: list[RenderableType] = [
        wrapped(f"{report.checkout}, on {arch} nodes", columns=_WIDTH),
        wrapped(
            f"{counts['packages']} packages, {counts['packagesWithImages']} of them with images; "
            f"{counts['images']} images run: {counts['imagesYes']} are there for {arch}, {counts['imagesNo']} are "
            f"not, {counts['imagesUnknown']} are not known. {counts['imagesNamedOnly']} more are named only.",
            columns=_WIDTH,
        ),
        "",
    ]
    if verdict.bundles:
        parts += [*_table("bundle", arch, verdict.bundles, own=False), ""]
    if verdict.applications:
        parts += [*_table("application", arch, verdict.applications, own=True), ""]
    if others := [one for one in verdict.parts if one.own is not State.YES]:
        parts += [*_table("other parts that do not wholly run", arch, others, own=True), ""]
    parts += _lacking(report)
    parts += _not_known(report)
    parts += _unresolved(report)
    parts += [wrapped(f"- {remark}", 2, columns=_WIDTH) for remark in report.remarks]
    parts += ["What is not seen:", *(wrapped(limit, 2, "- ", _WIDTH) for limit in LIMITS)]
    return render(*parts, width=_WIDTH)


def _table(title: str, arch: str, sources: Iterable[SourceState], *, own: bool) -> Iterator[str]:
    """Yield a table's lines: what each "no" depends on is below its row, where a reference has room."""
    rows: list[tuple[list[str], list[str]]] = []
    for source in sources:
        cells = [source.name.removeprefix("cozystack."), *([source.own.value] if own else []), source.state.value]
        rows.append((cells, _few([_cause(cause) for cause in source.causes])))
    return _lines([title, *(["by itself"] if own else []), arch], rows)


def _lines(headings: list[str], rows: list[tuple[list[str], list[str]]]) -> Iterator[str]:
    cells = [headings, *([escaped(cell) for cell in row] for row, _ in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    # A name that is longer stands out of its column, and moves no other row.
    widths[0] = min(widths[0], _WIDTH - sum(widths[1:]) - 3 * (len(widths) - 1))
    written = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    yield written[0]
    yield "─" * min(_WIDTH, sum(widths) + 3 * (len(widths) - 1))
    for line, (_, below) in zip(written[1:], rows, strict=True):
        yield line
        yield from (wrapped(text, 8, "    ", _WIDTH) for text in below)


def _few(found: Sequence[str]) -> list[str]:
    return [*found[:_SHOWN], *([f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])]


def _cause(cause: Cause) -> str:
    source = cause.through.removeprefix("cozystack.").rpartition("/")[2]
    # A source that has the package's own name says nothing more.
    through = f" (through {source})" if source and source != cause.package.rpartition("/")[2] else ""
    images = ", ".join(_last(image) for image in cause.images[:_SHOWN])
    more = f" and {len(cause.images) - _SHOWN} more" if len(cause.images) > _SHOWN else ""
    return escaped(f"{cause.package}{through}: {images}{more}")


def _short(image: str) -> str:
    """Return a reference without its digest; a reason behind it stays."""
    name, separator, rest = image.partition("@sha256:")
    return name + (rest[64:] if separator else "")


def _last(image: str) -> str:
    """Return the last part of a reference, for tables: the lists below them have the whole one."""
    short = _short(image)
    return short.rpartition("/")[2] if " " not in short else short


def _lacking(report: Report) -> Iterable[RenderableType]:
    advice = {one.reference: one for one in report.advice}
    places = _places(report)
    found = [image for image in report.verdict.images if image.state is State.NO and image.packages]
    if found:
        yield f"Images that are not there for {report.verdict.arch}:"
    for image in found:
        yield escaped(image.reference)
        yield wrapped(f"{escaped(image.reason)}; run by {', '.join(image.packages)}", 4, "    ", _WIDTH)
        yield wrapped(f"named in {escaped(', '.join(places.get(image.reference, ())[:_SHOWN]))}", 4, "    ", _WIDTH)
        if one := advice.get(image.reference):
            yield wrapped(escaped(one.what), 4, "    ", _WIDTH)
            yield from (wrapped(escaped(obstacle), 6, "    - ", _WIDTH) for obstacle in one.obstacles)
    if found:
        yield ""
    named = [image for image in report.verdict.images if image.state is State.NO and not image.packages]
    if named:
        yield f"Named, and not run with the packages' own values; not there for {report.verdict.arch}:"
        yield from (
            wrapped(escaped(f"{_short(one.reference)} ({', '.join(one.named_by)})"), 4, "    ") for one in named
        )
        yield ""


def _places(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for package in report.verdict.packages:
        for image in package.images:
            found.setdefault(image.reference, []).extend(f"{place} ({place.how})" for place in image.places)
    return found


def _not_known(report: Report) -> Iterable[RenderableType]:
    found = [image for image in report.verdict.images if image.state is State.UNKNOWN and image.packages]
    if found:
        yield "Images of which nothing is known:"
        for image in found:
            yield escaped(_short(image.reference))
            yield wrapped(f"{escaped(image.reason)}; run by {', '.join(image.packages)}", 4, "    ", _WIDTH)
        yield ""


def _unresolved(report: Report) -> Iterable[RenderableType]:
    lines = [
        wrapped(escaped(f"{one.file}:{one.line}: {one.text}"), 4, "    ", _WIDTH)
        for package in report.verdict.packages
        for one in package.unresolved
    ]
    failed = [
        wrapped(escaped(f"{package.name}: {package.not_rendered}"), 4, "    ", _WIDTH)
        for package in report.verdict.packages
        if package.not_rendered
    ]
    if lines:
        yield "Places that name an image which the checkout alone does not say (… is what is not known):"
        yield from lines
        yield ""
    if failed:
        yield "Charts that Helm can't render by themselves; their images are those that their text names:"
        yield from failed
        yield ""


def changes_text(changes: Changes, titles: tuple[str, str]) -> str:
    """Return the difference of two releases as text."""
    parts: list[RenderableType] = [f"{changes.arch}: {titles[0]} → {titles[1]}", ""]
    named = {"bundle": changes.bundles, "application": changes.applications, "package": changes.packages}
    for title, found in {**named, "image": changes.images}.items():
        if found:
            rows = [
                (
                    [change.name, _state(change.before), _state(change.after)],
                    [escaped(_short(image)) for image in change.images[:_SHOWN]],
                )
                for change in found
            ]
            parts += [*_lines([title, "before", "after"], rows), ""]
    if len(parts) == 2:
        parts.append(f"Nothing gained or lost {changes.arch}.")
    return render(*parts, width=_WIDTH)


def _state(state: State | None) -> str:
    return "not there" if state is None else state.value
