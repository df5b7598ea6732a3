"""What a terminal shows of a build: at most a screen. The long report is in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.common.filenames import REPORT_PAGE, STAND_IN_LINE
from ci.report.build_report import render_checks
from ci.report.tables import wrapped

if TYPE_CHECKING:
    from ci.verify.reported import Report

#: Checks and files that are shown; of more, the number.
_MOST: Final = 6


def render_summary(report: Report, folder: str) -> str:
    """Return what was built, where it is, how large, and how the checks went; of failed ones the evidence.

    `folder` is where the assets lie in what `build` returns.
    """
    files = [file for file in report.files if not file.path.startswith("validation/")]
    arch, talos = report.arch or "an unknown architecture", report.talos or "unknown"
    total = _size(sum(file.size for file in files))
    lines = [wrapped(STAND_IN_LINE)] if report.stand_in else []
    lines += [f"{report.variant or 'assets'} for {arch}: Talos {talos}, {total} in {len(files)} files"]
    lines += [f"in {folder}/ of what is exported:"]
    width = max((len(file.path) for file in files), default=0)
    lines += [f"  {file.path:<{width}}  {_size(file.size):>9}" for file in files[:_MOST]]
    lines += [f"  and {len(files) - _MOST} more"] if len(files) > _MOST else []
    lines += [f"  boot from {boot.way}: {boot.outcome}, {boot.seconds:.1f} s" for boot in report.boots]
    failed = tuple(check for check in report.checks if check.status == "fail")
    checks = render_checks(report.checks).splitlines()[-1]
    lines += [*render_checks(failed).splitlines()[:-1], checks]
    # Assets that fail are not exported, and their report neither.
    lines += [] if failed else [f"the whole report, to look at: {folder}/{REPORT_PAGE}"]
    return "\n".join(lines) + "\n"


def next_steps(report: Report, folder: str) -> str:
    """Return what to do with assets that passed, in three commands."""
    variant = report.variant or "VARIANT"
    arch = "" if report.arch == "arm64" else f"--arch {report.arch} "
    calls = (
        ("look inside", f"inspect --assets out/{folder}"),
        ("try a boot", f"boot --variant {variant}"),
        ("configure nodes", f"machine-config --variant {variant} export --path machine-config"),
    )
    # What was made from the lab is there for daggerw only.
    program = "./daggerw --lab" if report.stand_in else "dagger"
    lines = [wrapped(f"{program} call {arch}{call}", 4, f"  {what:<15}  ") for what, call in calls]
    return "\n".join(["next:", *lines]) + "\n"


def _size(size: int) -> str:
    """Return bytes in the unit that a person reads: kB and MB of 1000 and 1000 000 bytes."""
    if size >= 10**6:
        return f"{size / 10**6:.1f} MB"
    return f"{size / 10**3:.1f} kB" if size >= 10**3 else f"{size} B"
