"""A verdict as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.boot.model import OUTCOME_SENTENCES, STAGE_TITLES
from ci.report.build_report import render_checks

if TYPE_CHECKING:
    from ci.boot.model import BootVerdict


def headline(verdict: BootVerdict) -> str:
    """Return a verdict in one line."""
    return (
        f"{verdict.variant} for {verdict.arch} from {verdict.way}: {verdict.outcome}, {verdict.seconds:.1f} s: "
        f"{verdict.sentence or OUTCOME_SENTENCES[verdict.outcome]}"
    )


def render_verdict(verdict: BootVerdict) -> str:
    """Return a verdict with its evidence, and of a boot that failed the console's last lines."""
    lines = ["STAND-IN: assets from the lab, no Talos"] if verdict.stand_in else []
    lines += [headline(verdict), *([f"in {verdict.machine}"] if verdict.machine else []), ""]
    for one in verdict.stages:
        when = "      -" if one.seconds is None else f"{one.seconds:7.1f}"
        lines.append(f"{when}  {STAGE_TITLES[one.stage]}")
    lines += ["", *(f"{one.seconds:7.1f}  {one.name} {one.version}" for one in verdict.extensions)]
    lines += ["", render_checks(verdict.checks)]
    if verdict.tail:
        lines += ["", f"the last {len(verdict.tail)} lines of the console:", *(f"    {line}" for line in verdict.tail)]
    return "\n".join(lines) + "\n"
