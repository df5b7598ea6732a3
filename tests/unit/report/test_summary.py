"""What a terminal shows of a build."""

from __future__ import annotations

from ci.report.summary import next_steps, render_summary
from ci.verify.model import Check
from ci.verify.reported import Report, ReportedBoot, ReportedFile

FOLDER = "assets/talos/arm64"
PASSED = tuple(Check(id=f"a.{n}", sentence="It is so.", status="pass", evidence=()) for n in range(38))
SKIPPED = Check(id="b.c", sentence="It may be so.", status="skip", evidence=("there is none",))
FAILED = Check(id="d.e", sentence="It is not.", status="fail", evidence=("one", "two"))


def report(*checks: Check, files: int = 2, stand_in: bool = False, boots: tuple[ReportedBoot, ...] = ()) -> Report:
    return Report(
        stand_in=stand_in,
        variant="spin-only",
        arch="arm64",
        talos="v1.13.6",
        kernel="6.18",
        extensions=(),
        cmdlines={"uki": "x" * 500},
        files=tuple(ReportedFile(path=f"boot/f{n}", kind="kernel", size=1_234_567, sha256="0") for n in range(files)),
        checks=checks,
        boots=boots,
    )


def test_a_build_that_passed() -> None:
    boot = ReportedBoot(way="uki", outcome="maintenance", seconds=41.25)
    assert render_summary(report(*PASSED, SKIPPED, boots=(boot,)), FOLDER).splitlines() == [
        "spin-only for arm64: Talos v1.13.6, 2.5 MB in 2 files",
        "in assets/talos/arm64/ of what is exported:",
        "  boot/f0     1.2 MB",
        "  boot/f1     1.2 MB",
        "  boot from uki: maintenance, 41.2 s",
        "39 checks: 38 passed, 0 failed, 1 skipped",
        "the whole report, to look at: assets/talos/arm64/validation/build-report.html",
    ]


def test_failed_checks_come_with_their_evidence_and_no_others() -> None:
    lines = render_summary(report(*PASSED, SKIPPED, FAILED), FOLDER).splitlines()
    assert not any("build-report" in line for line in lines)  # nothing is exported
    assert [line for line in lines if "a.1" in line or "there is none" in line] == []
    at = lines.index("FAIL  d.e  It is not.")
    assert [line.strip() for line in lines[at + 1 : at + 4]] == [
        "- one",
        "- two",
        "40 checks: 38 passed, 1 failed, 1 skipped",
    ]


def test_stand_ins_say_so_in_the_first_line() -> None:
    assert render_summary(report(stand_in=True), FOLDER).startswith("STAND-IN: ")


def test_it_is_a_screen_at_most() -> None:
    boot = ReportedBoot(way="uki", outcome="maintenance", seconds=41.25)
    text = render_summary(report(*PASSED, files=40, stand_in=True, boots=(boot,) * 4), FOLDER) + next_steps(
        report(), FOLDER
    )
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    assert "  and 34 more" in text


def test_the_next_commands_are_for_what_was_built() -> None:
    assert next_steps(report(), FOLDER).splitlines() == [
        "next:",
        "  look inside      dagger call inspect --assets out/assets/talos/arm64",
        "  try a boot       dagger call boot --variant spin-only",
        "  configure nodes  dagger call machine-config --variant spin-only export --path",
        "    machine-config",
    ]
    assert "dagger call --arch amd64 boot" in next_steps(report().model_copy(update={"arch": "amd64"}), FOLDER)
    assert "  try a boot       ./daggerw --lab call boot --variant spin-only" in next_steps(
        report(stand_in=True), FOLDER
    )
