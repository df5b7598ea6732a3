"""A release's pages: which file for which machine, how to check it, what to do with it, and what has changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ci.common.filenames import CHECKSUMS, REPORT, REPORT_PAGE, STAND_IN_LINE, VALIDATION
from ci.plan import images
from ci.plan.images import release_tag
from ci.report.build_report import plan_in
from ci.report.diff import Change, Difference
from ci.report.pages.clouds import Step
from ci.report.pages.diff_page import difference_page
from ci.report.pages.templating import render_page
from ci.report.pages.ways import Way, verify_command, ways

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci.plan.model import Plan
    from ci.verify.reported import Report

#: For programs: what the release has.
LATEST: Final = "latest.json"
INDEX: Final = "index.html"
#: Below a variant's folder of one architecture: what changed since the release before.
DIFFERENCE: Final = "difference.html"
#: Below a variant's folder: its nodes' configuration.
CONFIGURATION: Final = "machine-config"
#: The public key of who signs the images.
KEY: Final = "cosign.pub"
#: Bumped when a field of `latest.json` changes its meaning.
FORMAT: Final = 1


@dataclass(frozen=True)
class Built:
    """A variant's assets for one architecture, as they are in the site."""

    plan: Plan
    report: Report
    #: The report of the release before, `None` where there is none.
    before: Report | None = None
    #: Digest of the installer image that `publish` makes of it, `None` where the release has no images.
    installer: str | None = None

    @property
    def folder(self) -> str:
        """Where its files are in the site."""
        return f"{self.plan.variant}/{self.plan.arch.value}"

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the assets, without what is written about them."""
        return tuple(file.path for file in self.report.files if not file.path.startswith(VALIDATION))


@dataclass(frozen=True)
class Place:
    """Where things of the release are, besides the site itself."""

    #: Registry and folder of the published images; `None`: they are not published.
    address: str | None = None
    #: Address of a folder with the archives `VARIANT.tar`; `None`: the files are in the site.
    archives: str | None = None
    #: Whether the site has the key that the images are signed with.
    signed: bool = False

    def installer(self, plan: Plan, digest: str | None = None) -> str | None:
        """Return the reference of the published installer image, `None` where none is published."""
        if not self.address:
            return None
        tagged = f"{self.address}/{images.KINDS['installer'].repository}:{release_tag(plan)}"
        return f"{tagged}@{digest}" if digest else tagged


def site_pages(built: Sequence[Built], configurations: dict[str, tuple[str, ...]], place: Place) -> dict[str, str]:
    """Return path → text of the pages; `configurations` has the files of each variant's machine configuration."""
    pages = {INDEX: _index(built, configurations, place), LATEST: json.dumps(latest(built, place), indent=2) + "\n"}
    for one in built:
        if one.before:
            pages[f"{one.folder}/{DIFFERENCE}"] = report_difference_page(one.before, one.report, one.plan)
    return pages


def latest(built: Sequence[Built], place: Place) -> dict[str, Any]:
    """Return the release for programs. Paths are below the site, with `archives` below the archive's folder."""
    first = built[0].plan
    return {
        "format": FORMAT,
        "standIn": any(one.report.stand_in for one in built),
        "talos": first.talos_version,
        "cozystack": first.origin.release,
        "archives": place.archives,
        "builds": [
            {
                "variant": one.plan.variant,
                "role": one.plan.role,
                "arch": one.plan.arch.value,
                "plan": one.plan.id,
                "installer": place.installer(one.plan, one.installer),
                "folder": None if place.archives else one.folder,
                "checksums": f"{one.folder}/{CHECKSUMS}",
                "report": f"{one.folder}/{REPORT}",
                "extensions": {extension.name: extension.version for extension in one.report.extensions},
                "files": [
                    {"path": file.path, "size": file.size, "sha256": file.sha256}
                    for file in one.report.files
                    if file.path in one.files
                ],
            }
            for one in built
        ],
    }


@dataclass(frozen=True)
class Choice:
    """One section of the page: a way for a variant and an architecture."""

    built: Built
    way: Way
    steps: tuple[Step, ...]


def _index(built: Sequence[Built], configurations: dict[str, tuple[str, ...]], place: Place) -> str:
    choices = [
        Choice(one, way, tuple(_download(one, way, place)))
        for one in built
        for way in ways(one.plan, one.report, place.installer(one.plan, one.installer), KEY if place.signed else None)
    ]
    first = built[0].plan
    release = f", CozyStack {first.origin.release}" if first.origin.release else ""
    return render_page(
        "site.html",
        title=f"Talos {first.talos_version}{release}",
        stand_in=STAND_IN_LINE if any(one.report.stand_in for one in built) else "",
        built=built,
        variants=list({one.plan.variant: one.plan for one in built}.values()),
        arches=list(dict.fromkeys(one.plan.arch.value for one in built)),
        kinds=list({choice.way.key: choice.way.title for choice in choices}.items()),
        choices=choices,
        place=place,
        verify={
            one.folder: verify_command(image, KEY)
            for one in built
            if (image := place.installer(one.plan, one.installer))
        },
        configurations=configurations,
        names={
            "checksums": CHECKSUMS,
            "page": REPORT_PAGE,
            "report": REPORT,
            "difference": DIFFERENCE,
            "configuration": CONFIGURATION,
            "key": KEY,
            "latest": LATEST,
        },
    )


def _download(one: Built, way: Way, place: Place) -> Iterator[Step]:
    """Yield how to get the files of a way, and how to check them; nothing where it takes none."""
    if not way.files:
        return
    if place.archives:
        archive = f"{one.plan.variant}.tar"
        yield Step(
            "Download the release's archive, check and unpack it.",
            f"curl --fail --location --remote-name {place.archives}/{archive}\n"
            f"curl --fail --location --remote-name {place.archives}/{CHECKSUMS}\n"
            f"sha256sum --check --ignore-missing {CHECKSUMS}\n"
            f"tar --extract --file {archive}\n"
            f"cd assets/talos/{one.plan.arch.value}\n"
            f"sha256sum --check {CHECKSUMS}",
        )
        return
    fetch = "curl --fail --location --create-dirs --output"
    lines = [f"{fetch} {path} SITE/{one.folder}/{path}" for path in (*way.files, CHECKSUMS)]
    yield Step("Download the files, into an empty folder.", "\n".join(lines))
    yield Step("Check them: each line has to end with OK.", f"sha256sum --check --ignore-missing {CHECKSUMS}")


# --- the difference to the release before ----------------------------------------------------------------------------


def report_difference_page(before: Report, after: Report, plan: Plan) -> str:
    """Return the page of what changed between two builds, by their reports."""
    difference = Difference(before=_called(before), after=_called(after), changes=tuple(_changes(before, after)))
    sizes = [{file.path: file.size for file in side.files} for side in (before, after)]
    stand_in = STAND_IN_LINE if plan.stand_in else ""
    return difference_page(difference, *sizes, stand_in=stand_in, release=f"../../{INDEX}")


def _called(report: Report) -> str:
    plan = plan_in(report)
    release = plan.origin.release if plan else None
    return f"{report.variant}, Talos {report.talos}" + (f", CozyStack {release}" if release else "")


def _changes(before: Report, after: Report) -> Iterator[Change]:
    heads = [
        {"Talos version": side.talos, "kernel": side.kernel, "architecture": side.arch} for side in (before, after)
    ]
    yield from _compared("", *heads)
    yield from _compared(
        "", *[{f"extension {one.name}": one.version for one in side.extensions} for side in (before, after)]
    )
    for path in sorted(before.cmdlines.keys() & after.cmdlines.keys()):
        yield from _compared(path, *[_arguments(side.cmdlines[path]) for side in (before, after)])
    yield from _compared("", *[{f"file {one.path}": one.sha256[:12] for one in side.files} for side in (before, after)])


def _arguments(line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in line.split():
        name, _, value = word.partition("=")
        key = f"argument {name}"
        found[key] = f"{found[key]} {value}" if key in found else value
    return found


def _compared(place: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for what in dict.fromkeys([*before, *after]):
        old, new = before.get(what), after.get(what)
        if old != new:
            kind = "added" if old is None else "removed" if new is None else "changed"
            yield Change(place=place, kind=kind, what=what, before=old, after=new)
