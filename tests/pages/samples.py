"""Pages as a build, a difference and a release make them, without an engine; names and versions in them are hostile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ci.common.filenames import REPORT, REPORT_PAGE
from ci.common.kinds import KINDS, Initramfs
from ci.inspect.inspect import inspect_path
from ci.plan.model import Plan
from ci.report.diff import diff
from ci.report.pages.diff_page import diff_page
from ci.report.pages.site import Built, Place, site_pages
from ci.report.seal import seal
from ci.report.tables import Format
from ci.verify.reported import parse_report
from ci.workloads.changes import compare
from ci.workloads.report import changes_as, report_as
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import (
    Extension,
    Spec,
    expectation_of,
    files_of,
    good,
    plan_of,
    planned_output,
    tailscale,
    write,
)
from tests.unit.workloads.charts import package, pods
from tests.unit.workloads.platform import KUBEOVN, v1
from tests.unit.workloads.test_report import report

if TYPE_CHECKING:
    from pathlib import Path

    from ci.workloads.report import Report

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></style></title>\x1b[31m\u202egnp"

#: What a manifest and a file's name may hold of it; the plan has all.
MARKUP = HOSTILE.partition("\x1b")[0]

EVIL = "quay.io/evil/image:v1"

_STAGES = ("firmware", "loader", "stub", "kernel", "initramfs", "init", "extensions", "root", "machine", "ready")


def planned(spec: Spec) -> dict[str, Any]:
    """Return a plan with every kind of output."""
    outputs: list[dict[str, Any]] = []
    for kind in KINDS.values():
        path = kind.boot_path.format(arch=spec.arch) + (".zst" if kind.disk else "")
        output = planned_output(kind.name, Initramfs(kind.initramfs).value)
        output |= {"path": path, "imagerKind": kind.imager_kind, "platform": kind.platform}
        outputs.append(output | {"baseInstaller": kind.takes_base_installer})
    return plan_of(spec) | {"outputs": outputs}


def built(folder: Path, spec: Spec, *, hostile: bool = True) -> Built:
    """Write a build's assets and report into a folder."""
    expected = expectation_of(spec)
    if hostile:
        files = [*spec.extensions[0].files, File(f"usr/share/{MARKUP.replace('/', '')}", bytes(5000))]
        spec.extensions[0] = Extension("spin", MARKUP, files)
    plan = planned(spec)
    if hostile:
        plan |= {"description": HOSTILE}
        plan["extensions"][0] |= {"version": HOSTILE, "reason": HOSTILE}
        plan["dropped"][0] |= {"reason": HOSTILE}
    times = [{"stage": stage, "seconds": 2.5 * number} for number, stage in enumerate(_STAGES)]
    verdict = {
        "way": "uki",
        "outcome": "booted",
        "seconds": 22.5,
        "machine": "QEMU 10.0, 2 processors",
        "stages": times,
    }
    write(folder, {**files_of(spec), "validation/boot-uki.json": json.dumps(verdict).encode()})
    write(folder, {"STAND-IN.txt": b"made from stand-ins\n"})
    model = Plan.model_validate(plan | {"standIn": True})
    seal(folder, expected.model_copy(update={"stand_in": True}), model)
    return Built(model, parse_report((folder / REPORT).read_text(), REPORT))


def make_pages(folder: Path, *, hostile: bool = True) -> dict[str, Path]:
    """Write one page of each kind, and return where they are."""
    site = folder / "site"
    old = replace(good(), talos="v1.12.9")
    old.extensions[0] = Extension("spin", "v0.20.0", old.extensions[0].files)
    before = built(site / "old", old, hostile=False)
    one = built(site / "spin-only/arm64", good(), hostile=hostile)
    other = built(
        site / "spin-tailscale/amd64",
        Spec("amd64", "v1.13.6", "spin-tailscale", [*good(arch="amd64").extensions, tailscale("amd64")]),
        hostile=hostile,
    )
    sides = [inspect_path(site / name, name=name) for name in ("old", "spin-only/arm64")]
    (folder / "diff.html").write_text(diff_page(sides[0], sides[1], diff(sides[0], sides[1])))
    releases = [Built(one.plan, one.report, before.report), other]
    configurations = {"spin-only": ("kubernetes.yaml", "node.yaml"), "spin-tailscale": ("node.yaml",)}
    place = Place("registry.example.com/talos", signed=True)
    for path, text in site_pages(releases, configurations, place).items():
        (site / path).write_text(text)
    (folder / "workloads.html").write_text(report_as(_workloads(hostile=hostile), Format.HTML))
    lost = compare(_workloads(hostile=hostile, lacking=()).verdict, _workloads(hostile=hostile).verdict)
    titles = ("v1", HOSTILE if hostile else "v2")
    (folder / "workloads-diff.html").write_text(changes_as(lost, Format.HTML, titles))
    return {
        "report": site / "spin-only/arm64" / REPORT_PAGE,
        "difference": folder / "diff.html",
        "site": site / "index.html",
        "site difference": site / "spin-only/arm64/difference.html",
        "workloads": folder / "workloads.html",
        "workloads difference": folder / "workloads-diff.html",
    }


def _workloads(*, hostile: bool, lacking: tuple[str, ...] = (KUBEOVN,)) -> Report:
    if not hostile:
        return report(lacking=lacking)
    name = MARKUP.replace("/", "")
    files = v1() | package(f"system/{name}", {f"templates/{name}.yaml": pods(EVIL)})
    return report(files, lacking=(*lacking, EVIL) if lacking else (), title=HOSTILE)
