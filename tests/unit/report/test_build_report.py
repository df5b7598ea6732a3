"""The build report: what was planned, what was found, and every check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.filenames import CHECKSUMS, PROVENANCE, REPORT, REPORT_TEXT, SBOM, SIGNATURES, STAND_IN_LINE
from ci.plan.model import Plan
from ci.report.build_report import render_report
from ci.report.seal import seal
from ci.verify.reported import parse_report
from ci.verify.signatures import render_signatures
from ci.verify.verify import OF_SIGNATURES, REQUIREMENTS, verify
from tests.unit.verify.assets import NOT_HERE, build, expectation_of, files_of, good, plan_of, planned_output, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


REPORTED = f"""\
Talos boot assets: spin-only, arm64

Talos       v1.13.6
kernel      6.18.38-talos
CozyStack   https://example.com/cozystack.git v1.6.2 (commit {"c" * 40})
timestamps  1700000000 (given)
plan        b66cc2286be9c2675651922a5662c1221f2dd0051f0d30637603cbe20f899f8b

extension    version        source   why
spin         v0.21.0        catalog  why spin is there
drbd         9.3.2-v1.13.6  catalog  why drbd is there
modules.dep  6.18.38-talos  imager   index of the extensions' kernel modules

left out  by            why
i915      architecture  for amd64 only

built from      image
imager          ghcr.io/siderolabs/imager:v1.13.6@sha256:{1:064x}
installer base  ghcr.io/siderolabs/installer-base:v1.13.6@sha256:{2:064x}
extension spin  ghcr.io/siderolabs/spin:v0.21.0@sha256:{10:064x}
extension drbd  ghcr.io/siderolabs/drbd:9.3.2-v1.13.6@sha256:{11:064x}

command line of installer/installer-arm64.tar:usr/install/arm64/vmlinuz.efi:.cmdline: """
BOOTED = '{"way": "uki", "outcome": "booted", "seconds": 29.06, "stages": []}'

#: Of good assets. Signatures are made behind the report, and one of them is its own.
SKIPPED = NOT_HERE - set(OF_SIGNATURES)


def test_report_holds_the_plan_the_findings_and_every_check(tmp_path: Path) -> None:
    build(tmp_path, good())
    report = json.loads((tmp_path / REPORT).read_text())
    assert report["plan"] == plan_of(good())
    assert (report["variant"], report["arch"], report["talos"]) == ("spin-only", "arm64", "v1.13.6")
    assert report["kernel"] == "6.18.38-talos"
    assert [entry["name"] for entry in report["extensions"]] == ["spin", "drbd", "modules.dep"]
    kinds = {file["path"]: file["kind"] for file in report["files"]}
    assert kinds == {**(expectation_of(good()).files or {}), SBOM: "text", PROVENANCE: "text"}
    asked = [one.id for one in REQUIREMENTS if one.id not in OF_SIGNATURES]
    assert sorted(check["id"] for check in report["checks"]) == sorted(asked)
    assert {check["id"] for check in report["checks"] if check["status"] != "pass"} == SKIPPED
    text = (tmp_path / REPORT_TEXT).read_text()
    assert text.startswith(REPORTED)
    count, passed = len(asked), len(asked) - len(SKIPPED)
    assert text.endswith(f"{count} checks: {passed} passed, 0 failed, {len(SKIPPED)} skipped\n")


def planned_report(root: Path, change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """The lines of the report on assets whose plan was changed."""
    write(root, files_of(good()))
    plan = plan_of(good())
    change(plan)
    seal(root, expectation_of(good()), Plan.model_validate(plan))
    return (root / REPORT_TEXT).read_text().splitlines()


def test_report_wraps_reasons_and_leaves_references_whole(tmp_path: Path) -> None:
    reference = f"registry.example.com/{'long/' * 30}spin:v0.21.0"

    def change(plan: dict[str, Any]) -> None:
        plan["extensions"][0] |= {"reason": "word " * 40, "reference": reference}

    lines = planned_report(tmp_path, change)
    at = next(number for number, line in enumerate(lines) if line.startswith("spin "))
    assert [len(line) <= 120 for line in lines[at : at + 3]] == [True] * 3
    assert lines[at + 1] == " " * lines[at].index("word") + " ".join(["word"] * 16)
    assert f"extension spin  {reference}@sha256:{10:064x}" in lines


def test_report_names_an_overlay_and_the_certificate_of_secure_boot(tmp_path: Path) -> None:
    overlay = {"reference": "ghcr.io/siderolabs/sbc:v1", "digest": "sha256:1"}
    overlay |= {"name": "rpi", "hostPlatform": "linux/amd64", "platform": "linux/arm64", "options": {}}
    lines = planned_report(tmp_path, lambda plan: plan.update(overlay=overlay, secureBoot={"certificate": "abc"}))
    assert "secure boot  certificate sha256:abc" in lines
    assert "overlay         ghcr.io/siderolabs/sbc:v1@sha256:1" in lines


def test_report_names_no_extensions_of_outputs_that_hold_none(tmp_path: Path) -> None:
    plan = plan_of(good()) | {"outputs": [planned_output("kernel", "none")]}
    write(tmp_path, {"boot/vmlinuz": files_of(good())["boot/vmlinuz"]})
    seal(
        tmp_path,
        expectation_of(good()).model_copy(update={"files": {"boot/vmlinuz": "kernel"}}),
        Plan.model_validate(plan),
    )
    text = (tmp_path / REPORT_TEXT).read_text()
    assert "why spin is there" not in text
    assert "extension spin  ghcr.io/siderolabs/spin:" not in text
    assert "imager          ghcr.io/siderolabs/imager:" in text


@pytest.mark.parametrize("plan", [None, [], {"variant": "x"}])
def test_report_with_what_is_not_a_plan_shows_what_was_found(tmp_path: Path, plan: Any) -> None:
    build(tmp_path, good())
    report = parse_report((tmp_path / REPORT).read_text(), REPORT)
    lines = render_report(report.model_copy(update={"plan": plan})).splitlines()
    assert "spin         v0.21.0" in lines
    assert "modules.dep  6.18.38-talos  imager  index of the extensions' kernel modules" in lines
    assert not any(line.startswith(("plan ", "built from")) for line in lines)


def test_report_of_stand_ins_says_so_in_its_first_line(tmp_path: Path) -> None:
    spec = good()
    expectation = expectation_of(spec).model_copy(update={"stand_in": True})
    write(tmp_path, {"STAND-IN.txt": b"made from stand-ins\n"})
    build(tmp_path, spec, expectation)
    assert (tmp_path / REPORT_TEXT).read_text().splitlines()[0] == STAND_IN_LINE
    assert json.loads((tmp_path / REPORT).read_text())["stand_in"] is True
    assert verify(tmp_path, expectation).failures == ()
    real = verify(tmp_path, expectation_of(spec)).failures
    assert [check.id for check in real] == ["report.stand-in"]
    assert "the plan is not of stand-ins, the assets are" in real[0].evidence


def test_report_is_written_when_a_check_fails(tmp_path: Path) -> None:
    planned = expectation_of(good("spin-tailscale"))
    build(tmp_path, good(), planned)
    report = json.loads((tmp_path / REPORT).read_text())
    failed = [check for check in report["checks"] if check["status"] == "fail"]
    assert [check["id"] for check in failed] == ["extensions.planned"]
    assert "FAIL  extensions.planned" in (tmp_path / REPORT_TEXT).read_text()


def test_the_report_names_the_boots_that_were_tried(tmp_path: Path) -> None:
    write(tmp_path, {"validation/boot-uki.json": BOOTED.encode(), "validation/boot-uki.svg": b"<svg/>"})
    build(tmp_path, good())
    report = json.loads((tmp_path / REPORT).read_text())
    assert {check["id"] for check in report["checks"] if check["status"] != "pass"} == SKIPPED
    assert report["boots"] == [{"way": "uki", "outcome": "booted", "seconds": 29.06}]
    line = "boot from uki: booted, 29.1 s, timeline in validation/boot-uki.svg"
    assert line in (tmp_path / REPORT_TEXT).read_text().splitlines()
    assert "  validation/boot-uki.svg\n" in (tmp_path / CHECKSUMS).read_text()


def test_the_report_names_who_signed_the_inputs(tmp_path: Path) -> None:
    signers = {"ghcr.io/siderolabs/spin:v0.21.0@sha256:" + "0" * 64: "Sidero Labs", "example.org/a:1@sha256:1": "a key"}
    write(tmp_path, {SIGNATURES: render_signatures(signers).encode()})
    build(tmp_path, good())
    report = json.loads((tmp_path / REPORT).read_text())
    assert {check["id"] for check in report["checks"] if check["status"] != "pass"} == SKIPPED
    assert report["signatures"] == signers
    lines = (tmp_path / REPORT_TEXT).read_text().splitlines()
    assert "signed by Sidero Labs: 1 of the inputs, named in validation/signatures.json" in lines
    assert f"  {SIGNATURES}\n" in (tmp_path / CHECKSUMS).read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}'])
def test_signatures_that_are_none_are_not_named(text: str, tmp_path: Path) -> None:
    write(tmp_path, {SIGNATURES: text.encode()})
    build(tmp_path, good())
    assert json.loads((tmp_path / REPORT).read_text())["signatures"] == {}


def test_a_record_that_is_none_is_not_named(tmp_path: Path) -> None:
    write(tmp_path, {"validation/boot-iso.json": b"{}"})
    build(tmp_path, good())
    assert json.loads((tmp_path / REPORT).read_text())["boots"] == []
