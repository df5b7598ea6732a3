"""Write what belongs next to new assets, SBOM, provenance, checksums and report, and check all of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ci.common.documents import json_text
from ci.common.filenames import CHECKSUMS, PROVENANCE, REPORT, REPORT_PAGE, REPORT_TEXT, SBOM, SIGNATURES, VALIDATION
from ci.inspect.inspect import inspect_path
from ci.report.build_report import render_report
from ci.report.pages.build_page import build_page, read_templates
from ci.report.provenance import make_provenance
from ci.report.sbom import make_sbom
from ci.verify.assets import Assets, expected_of, read_assets
from ci.verify.checksums import render_checksums
from ci.verify.model import Result
from ci.verify.reported import make_report
from ci.verify.signatures import read_signatures
from ci.verify.verify import OF_SIGNATURES, OF_THE_REPORT, REQUIREMENTS, run_checks

if TYPE_CHECKING:
    from pathlib import Path

    from ci.plan.expectation import Expectation
    from ci.plan.model import Plan
    from ci.report.sbom import Sbom


def seal(folder: Path, expectation: Expectation, plan: Plan) -> Result:
    """Write SBOM, provenance, checksums and the build report into a folder of assets, and return the checks.

    All is written whatever the checks say. The SBOM's time is the plan's source date.
    """
    with ThreadPoolExecutor(1) as beside:
        beside.submit(read_templates)
        assets = read_assets(folder)
    (assets.root / VALIDATION).mkdir(exist_ok=True)
    sbom = make_sbom(assets, expected_of(assets, expectation), plan.source_date.epoch)
    (assets.root / SBOM).write_text(sbom.to_json(), encoding="utf-8")
    provenance = make_provenance(assets.digests, plan, read_signatures(assets.text(SIGNATURES)))
    (assets.root / PROVENANCE).write_text(json_text(provenance), encoding="utf-8")
    assets = _with(assets, SBOM, PROVENANCE)
    (assets.root / CHECKSUMS).write_text(render_checksums(assets.digests), encoding="utf-8")
    assets = _with(assets, CHECKSUMS)
    expected = expected_of(assets, expectation)
    checks = run_checks(
        assets, expected, [one for one in REQUIREMENTS if one.id not in (*OF_THE_REPORT, *OF_SIGNATURES)]
    )
    # The report holds the checks of the report: it is written, checked, and written again with their outcome.
    _write_report(assets, expected, Result(checks=checks), plan, sbom)
    written = _with(assets, REPORT, REPORT_TEXT, REPORT_PAGE)
    result = Result(
        checks=checks + run_checks(written, expected, [one for one in REQUIREMENTS if one.id in OF_THE_REPORT])
    )
    _write_report(assets, expected, result, plan, sbom)
    return result


def _write_report(assets: Assets, expected: Expectation, result: Result, plan: Plan, sbom: Sbom) -> None:
    report = make_report(assets, expected, result, plan.model_dump(mode="json"))
    (assets.root / REPORT).write_text(json_text(report.model_dump(mode="json")), encoding="utf-8")
    (assets.root / REPORT_TEXT).write_text(render_report(report), encoding="utf-8")
    page = build_page(report, plan, assets, sbom.document)
    (assets.root / REPORT_PAGE).write_text(page, encoding="utf-8")


def _with(assets: Assets, *names: str) -> Assets:
    """Return the same assets with files that were just written, without reading all the others again."""
    written = [inspect_path(assets.root / name).model_copy(update={"name": name}) for name in names]
    others = [node for node in assets.inspection.contents if node.name not in names]
    return Assets(assets.inspection.model_copy(update={"contents": (*others, *written)}), assets.root)
