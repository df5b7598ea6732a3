"""Checks of the files themselves: readable, in their places, with true checksums and a true report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ci.common.filenames import (
    CHECKSUMS,
    PROVENANCE,
    REPORT,
    REPORT_PAGE,
    REPORT_TEXT,
    SBOM,
    STAND_IN,
    STAND_IN_LINE,
    UNLISTED,
    VALIDATION,
    checksummed,
    is_signature,
)
from ci.inspect.models import UnreadableFacts
from ci.verify.checksums import ChecksumsError, parse_checksums
from ci.verify.model import Part, Result, Verdict, VerifyError, skip
from ci.verify.reported import STAND_IN_MARK, Report, make_report, parse_report
from ci.verify.spdx import named_in, parts_of
from ci.verify.statement import provenance_problems

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets


def readable(assets: Assets, _: Expectation) -> Verdict:
    """`files.readable`."""
    count = sum(name not in UNLISTED for name in assets.files)
    passed_over = [path for path, node in assets.files.items() if node.kind == "data"]
    return Verdict(
        problems=[node.facts.error for node in assets.of(UnreadableFacts)],
        evidence=[
            f"{count} files were read to the end",
            *(f"{path} is of no kind that is looked into" for path in passed_over),
        ],
    )


def complete(assets: Assets, expectation: Expectation) -> Verdict:
    """`layout.complete`."""
    if expectation.files is None:
        return skip("no plan says which files there should be")
    verdict = Verdict()
    for path, kind in sorted(expectation.files.items()):
        node = assets.files.get(path)
        if node is None:
            verdict.problems.append(f"{path} is missing")
        elif node.kind != kind and node.kind != "unreadable":
            verdict.problems.append(f"{path} is a {node.kind}, a {kind} belongs there")
        else:
            verdict.evidence.append(f"{path}: {kind}, {node.size} bytes")
    return verdict


def nothing_else(assets: Assets, expectation: Expectation) -> Verdict:
    """`layout.nothing-else`."""
    if expectation.files is None:
        return skip("no plan says which files there should be")
    allowed = {*expectation.files, *UNLISTED, STAND_IN}
    strays = [
        path
        for path in assets.digests
        if path not in allowed and not path.startswith(VALIDATION) and not is_signature(path, allowed)
    ]
    links = [
        f"{entry.path} is a {entry.type}"
        for entry in getattr(assets.inspection.facts, "entries", ())
        if entry.type != "directory"
    ]
    return Verdict(problems=[f"{path} is not in the plan" for path in strays] + links)


def checksums_complete(assets: Assets, expectation: Expectation) -> Verdict:
    """`checksums.complete`."""
    text = assets.text(CHECKSUMS)
    if text is None:
        if expectation.files is None:
            return skip(f"there is no {CHECKSUMS}")
        return Verdict(problems=[f"{CHECKSUMS} is missing"])
    try:
        listed = [path for path, _ in parse_checksums(text)]
    except ChecksumsError as error:
        return Verdict(problems=[str(error)])
    wanted = set(checksummed(assets.digests))
    problems = [f"{path} is not listed" for path in sorted(wanted - set(listed))]
    counts = Counter(listed)
    problems += [f"{path} is listed {count} times" for path, count in sorted(counts.items()) if count > 1]
    problems += [f"{path} is listed, but is not there" for path in sorted(set(listed) - set(assets.digests))]
    return Verdict(problems=problems, evidence=[f"{len(listed)} files are listed"])


def checksums_true(assets: Assets, _: Expectation) -> Verdict:
    """`checksums.true`."""
    text = assets.text(CHECKSUMS)
    if text is None:
        return skip(f"there is no {CHECKSUMS}")
    try:
        listed = parse_checksums(text)
    except ChecksumsError:
        return skip("the list can't be read")
    return Verdict(
        problems=[
            f"{path}: {digest} is listed, the file has {assets.digests[path]}"
            for path, digest in listed
            if path in assets.digests and assets.digests[path] != digest
        ],
        evidence=[f"{digest}  {path}" for path, digest in listed],
    )


def report_agrees(assets: Assets, expectation: Expectation) -> Verdict:
    """`report.agrees`."""
    text = assets.text(REPORT)
    if text is None:
        if expectation.files is None:
            return skip(f"there is no {REPORT}")
        return Verdict(problems=[f"{REPORT} is missing"])
    try:
        given = parse_report(text, REPORT)
    except VerifyError as error:
        return Verdict(problems=[str(error)])
    actual = make_report(assets, expectation, Result(checks=()))
    verdict = Verdict(evidence=[f"{len(given.files)} files, {len(given.extensions)} extensions as reported"])
    for field in ("arch", "talos", "kernel", "extensions", "cmdlines"):
        if getattr(given, field) != getattr(actual, field):
            verdict.problems.append(f"{field}: {_plain(given, field)} is reported, found was {_plain(actual, field)}")
    if expectation.variant and given.variant != expectation.variant:
        verdict.problems.append(f"variant: {given.variant} is reported, planned is {expectation.variant}")
    verdict.problems += _file_problems(given, actual)
    if assets.text(REPORT_TEXT) is None:
        verdict.problems.append(f"{REPORT_TEXT} is missing")
    # Assets without a plan may be from before there was a page.
    if expectation.files is not None and REPORT_PAGE not in assets.files:
        verdict.problems.append(f"{REPORT_PAGE} is missing")
    return verdict


def _file_problems(given: Report, actual: Report) -> list[str]:
    """Return where a report lists other files than those that are there."""
    problems: list[str] = []
    reported, found = ({file.path: file for file in report.files} for report in (given, actual))
    for path in sorted(reported.keys() | found.keys()):
        if path not in reported or path not in found:
            where = "there, but not reported" if path in found else "reported, but not there"
            problems.append(f"files: {path} is {where}")
        elif reported[path] != found[path]:
            problems.append(f"files: {path} is not the one that was reported")
    return problems


def _plain(report: Report, field: str) -> str:
    value = getattr(report, field)
    if isinstance(value, tuple):
        return ", ".join(f"{extension.name} {extension.version}" for extension in report.extensions) or "none"
    return str(value)


def sbom_complete(assets: Assets, expectation: Expectation) -> Verdict:
    """`sbom.complete`."""
    text = assets.text(SBOM)
    if text is None:
        if expectation.files is None:
            return skip(f"there is no {SBOM}")
        return Verdict(problems=[f"{SBOM} is missing"])
    try:
        named = named_in(text)
    except ValueError as error:
        return Verdict(problems=[f"{SBOM}: no SPDX document: {error}"])
    parts, unreadable = parts_of(assets, expectation)
    missing = [f"{name} {version or ''}".rstrip() for name, version in sorted(parts - named, key=str)]
    # Of what was not read, the plan says which extensions are in it.
    if unread := assets.unread((Part.INITRAMFS,)):
        known = {name for name, _ in named}
        missing += [planned.name for planned in expectation.extensions or () if planned.name not in known]
    return Verdict(
        problems=[f"{SBOM} does not name {part}" for part in missing] + unreadable,
        evidence=[f"{len(named)} packages"],
        unseen=unread,
    )


def provenance_agrees(assets: Assets, expectation: Expectation) -> Verdict:
    """`provenance.agrees`."""
    text = assets.text(PROVENANCE)
    if text is None:
        if expectation.files is None:
            return skip(f"there is no {PROVENANCE}")
        return Verdict(problems=[f"{PROVENANCE} is missing"])
    return Verdict(
        problems=list(provenance_problems(text, assets.digests, expectation.files)),
        evidence=["the statement is on the files that are there"],
    )


def stand_in(assets: Assets, expectation: Expectation) -> Verdict:
    """`report.stand-in`."""
    wanted = assets.stand_in if expectation.stand_in is None else expectation.stand_in or assets.stand_in
    verdict = Verdict(evidence=["stand-ins, and they say so" if wanted else "no stand-ins"])
    if wanted and STAND_IN not in assets.files:
        verdict.problems.append(f"the assets are stand-ins, but there is no {STAND_IN}")
    text = assets.text(REPORT_TEXT)
    if text is not None and wanted != text.startswith(STAND_IN_LINE):
        says = "does not say" if wanted else "says"
        verdict.problems.append(f"{REPORT_TEXT} {says} in its first line that the assets are stand-ins")
    page = assets.text(REPORT_PAGE)
    if page is not None and wanted != (STAND_IN_MARK in page):
        says = "does not say" if wanted else "says"
        verdict.problems.append(f"{REPORT_PAGE} {says} at its top that the assets are stand-ins")
    if expectation.stand_in is False and assets.stand_in:
        verdict.problems.append("the plan is not of stand-ins, the assets are")
    return verdict
