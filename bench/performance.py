"""The page and the plot of measured builds: docs/performance.md and docs/performance.svg."""

from __future__ import annotations

import html
import re
import textwrap
from collections import Counter
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meter import Cost

Steps: TypeAlias = list[tuple[str, float]]
Measured: TypeAlias = "tuple[Cost, Steps]"

CASES = {
    "cold": "(b) `spin-tailscale`, nothing cached",
    "second": "(c) `spin-only` after `spin-tailscale`",
    "other": "(b) `spin-only`, nothing cached",
    "after-other": "(c) `spin-tailscale` after `spin-only`",
    "unchanged": "(d) nothing changed",
    "idle": "next to (d): a call that does nothing",
    "changed": "(e) one small extension changed",
    "every": "both variants for both architectures, nothing cached",
}
SET_NAMES = {
    "two": "kernel and initramfs",
    "four": "four outputs without disk images",
    "six": "all six in upstream's formats (`.raw.xz`)",
    "own": "all six in this project's default formats (`.raw.zst`)",
}
#: At most so much of upstream's wall time.
TARGETS = {"two": 1.0, "four": 0.37, "six": 0.21, "own": 0.19}
#: At most so much of a call that does nothing.
UNCHANGED_TARGET = 1.5
#: Case → the case that it is at most so much of, by set.
SHARES: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "second": ("cold", {"two": 0.35, "four": 0.35, "six": 0.45, "own": 0.45}),
    "after-other": ("cold", dict.fromkeys(("two", "four", "six", "own"), 0.55)),
    "changed": ("cold", dict.fromkeys(("two", "four", "six", "own"), 0.4)),
    "every": ("cold", {"two": 2.2, "four": 2.2}),
}

#: So many steps of a build are listed.
_MOST_STEPS = 12

#: What may run when an extension changes or another variant is built: extensions, initramfs, and what embeds it.
_KINDS = (
    ("imager", "imager runs"),
    ("ci.steps.normalise", "normalise and pack"),
    ("ci.steps.verify", "checks"),
    ("tar ", "extensions packed"),
)


@dataclass(frozen=True)
class Figures:
    """All that was measured, and where."""

    date: str
    cores: int
    lab: bool
    command: str
    #: The variant that is built first, and the other one.
    first: str
    other: str
    #: Output → its imager run, of each.
    upstream: Mapping[str, Cost]
    other_upstream: Mapping[str, Cost]
    #: Set → case → cost and the commands that were run.
    builds: Mapping[str, Mapping[str, Measured]]
    #: Set → the outputs as they are asked for.
    sets: Mapping[str, str]
    #: Set → case → requests to the engine; 0 where that does not write them down.
    requests: Mapping[str, Mapping[str, int]]

    def upstreams(self, name: str, *, other: bool = False) -> Cost:
        """Return what upstream's way costs for a set, of the first variant or of the other one."""
        wanted = {"two": ("kernel", "initramfs"), "four": ("kernel", "initramfs", "installer", "iso")}.get(name)
        runs = self.other_upstream if other else self.upstream
        costs = [cost for output, cost in runs.items() if wanted is None or output in wanted]
        total = costs[0]
        for cost in costs[1:]:
            total += cost
        return total

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return {
            **{name: getattr(self, name) for name in ("date", "cores", "lab", "command", "first", "other", "sets")},
            "requests": self.requests,
            "upstream": {output: cost.to_json() for output, cost in self.upstream.items()},
            "other_upstream": {output: cost.to_json() for output, cost in self.other_upstream.items()},
            "builds": {
                name: {case: {**cost.to_json(), "steps": steps} for case, (cost, steps) in cases.items()}
                for name, cases in self.builds.items()
            },
        }


def _row(label: str, cost: Cost, ratio: str = "") -> str:
    memory, written = cost.memory / 1e6, cost.written / 1e6
    return f"| {label} | {cost.wall:.1f} | {cost.cpu:.1f} | {memory:.0f} | {written:.0f} | {ratio} |"


def _table(figures: Figures, name: str) -> list[str]:
    upstream, other = figures.upstreams(name), figures.upstreams(name, other=True)
    lines = [
        f"## {SET_NAMES[name][0].upper()}{SET_NAMES[name][1:]}",
        "",
        f"`--outputs {figures.sets[name]}`",
        "",
        "| | wall s | CPU s | peak memory MB | written MB | wall / upstream's |",
        "|---|---|---|---|---|---|",
        _row(f"(a) upstream's way, `{figures.first}`", upstream, "1"),
        _row(f"(a) upstream's way, `{figures.other}`", other, "1"),
    ]
    for case, (cost, _) in figures.builds[name].items():
        of = other if case in ("other", "second") else upstream
        lines.append(_row(CASES[case], cost, f"{cost.wall / of.wall:.2f}"))
    return [*lines, ""]


def _verdict(met: bool) -> str:
    return "met" if met else "**not met**"


def _targets(figures: Figures) -> list[str]:
    lines = ["| target | measured | |", "|---|---|---|"]
    for name, cases in figures.builds.items():
        ratio = cases["cold"][0].wall / figures.upstreams(name).wall
        verdict = _verdict(ratio <= TARGETS[name])
        lines.append(f"| (b) / (a) ≤ {TARGETS[name]}, {SET_NAMES[name]} | {ratio:.2f} | {verdict} |")
    for case, (of, most) in SHARES.items():
        for name, cases in figures.builds.items():
            if case in cases and name in most:
                ratio = cases[case][0].wall / cases[of][0].wall
                what = f"{CASES[case]} ≤ {most[name]} times {CASES[of]}, {SET_NAMES[name]}"
                lines.append(f"| {what} | {ratio:.2f} | {_verdict(ratio <= most[name])} |")
    for name, cases in figures.builds.items():
        idle = cases["idle"][0].wall
        ratio = cases["unchanged"][0].wall / idle
        lines.append(
            f"| (d) ≤ {UNCHANGED_TARGET} times a call that does nothing ({idle:.1f} s), {SET_NAMES[name]} "
            f"| {ratio:.2f} | {_verdict(ratio <= UNCHANGED_TARGET)} |"
        )
    return [*lines, "", *_asking(figures)]


def _asking(figures: Figures) -> list[str]:
    """Say how many requests the engine got in (d)."""
    told = [
        f"{of['unchanged']} for {SET_NAMES[name]}, next to {of['idle']} of a call that does nothing"
        for name, of in figures.requests.items()
        if of.get("unchanged")
    ]
    if not told:
        return []
    text = (
        f"Requests to the engine in (d): {'; '.join(told)}. The SDK makes two for each argument of a function, one "
        "after the other; of the rest, what does not depend on each other is one request (`ci/execute/asking.py`). "
        "What such a call asks of a git repository, `tests/engine/test_git.py` counts."
    )
    return [textwrap.fill(text, 120), ""]


def _parts(figures: Figures) -> str:
    """Say what (b) consists of now."""
    alone = figures.upstream["initramfs"].wall
    text = (
        "The imager makes the squashfs image of each extension in a separate run, those with kernel modules in one "
        "run, at the same time and shared by all variants; the initramfs is put together from these runs, compressed "
        "once (`ci/steps/normalise/assemble.py`). In (a) one run makes all of them, for each output anew, in "
        f"{alone:.1f} s: the imager has zstd's level 18 go over what is compressed already. (c) and (e) repeat only "
        "what is new. (d) is the time of asking the engine."
    )
    name = next(iter(figures.builds))
    steps = figures.builds[name]["cold"][1]
    longest = sorted(steps, key=lambda step: -step[1])[:_MOST_STEPS]
    if not longest:
        return textwrap.fill(text, 120) + "\n"
    return "\n".join(
        [
            textwrap.fill(text, 120),
            "",
            f"## What the {figures.builds[name]['cold'][0].wall:.1f} s of (b) are",
            "",
            f"The longest steps of {SET_NAMES[name]}; steps that do not depend on each other run at the same time:",
            "",
            "| step | s |",
            "|---|---|",
            *(f"| `{command.replace('|', '')}` | {seconds:.1f} |" for command, seconds in longest),
            "",
        ]
    )


def kinds(steps: Steps) -> Counter[str]:
    """Count the commands that were run by what they are for; what is none of the known is named whole."""
    found: Counter[str] = Counter()
    for command, _ in steps:
        found[next((name for sign, name in _KINDS if sign in command), command)] += 1
    return found


def _ran(figures: Figures) -> list[str]:
    names = [name for _, name in _KINDS]
    lines = ["| | " + " | ".join([*names, "others"]) + " |", "|---|" + "---|" * (len(names) + 1)]
    for name, cases in figures.builds.items():
        for case, (_, steps) in cases.items():
            counted = kinds(steps)
            others = ", ".join(f"`{command}`" for command in counted if command not in names)
            cells = [str(counted[one]) for one in names]
            lines.append(f"| {CASES[case]}, {name} | " + " | ".join([*cells, others or "0"]) + " |")
    return [*lines, ""]


#: A disk image being packed, among the commands that were run, which are shown with their middle left out.
_PACK = re.compile(r"ci\.steps\.normalise pack /in/(met|noc)")


def _packing(figures: Figures, name: str) -> dict[str, float]:
    """Return disk image → seconds of packing it, in a set's build from nothing."""
    cases = figures.builds.get(name)
    steps = cases["cold"][1] if cases else []
    images = {"met": "metal", "noc": "nocloud"}
    return {images[match[1]]: seconds for command, seconds in steps if (match := _PACK.search(command))}


def _disks(figures: Figures) -> list[str]:
    xz, zst = _packing(figures, "six"), _packing(figures, "own")
    images = [image for image in ("metal", "nocloud") if image in xz or image in zst]
    if not images:
        return []
    lines = [
        *("## Where the time of disk images goes", ""),
        "A raw disk image is nearly all zeros, and what is in it (the UKI) is compressed already; the imager has xz go",
        "over all of it. Here the imager makes the raw file, and it is packed apart, on all cores: zeros are packed",
        "once, and xz does not try what is packed already (`ci/steps/normalise/pack.py`). `.raw.zst` is the default,",
        "`.raw.xz` what `--layout upstream` gives.",
        *("", "| | " + " | ".join(images) + " |", "|---|" + "---|" * len(images)),
        _seconds("(a) the imager's run, which packs with xz", [_upstreams_run(figures, image) for image in images]),
        _seconds("(b) packing as `.raw.xz`, in parallel with other steps", [xz.get(image) for image in images]),
        _seconds("(b) packing as `.raw.zst`, in parallel with other steps", [zst.get(image) for image in images]),
    ]
    return [*lines, ""]


def _upstreams_run(figures: Figures, image: str) -> float | None:
    return next((cost.wall for output, cost in figures.upstream.items() if output.startswith(image)), None)


def _seconds(label: str, values: list[float | None]) -> str:
    return f"| {label} | " + " | ".join("" if value is None else f"{value:.1f} s" for value in values) + " |"


_PAGE = Template("""\
# How long builds take

Written by `$command` on $date, $cores cores, against $inputs.
Ratios are of figures taken one after the other in the same run; on another machine,
and at another time, the seconds differ.

![Wall time](performance.svg)

**(a)** is what CozyStack's Makefile does: one imager run after the other, each with all extensions, disk images packed
with xz by the imager. Only the runs are measured; images and extensions are there before. **(b)** to **(e)** are whole
calls of `build` from the command line: loading the module, looking up digests, building, checking, SBOM and report.
For (b) every step of the graph runs; only images are there before. (c) is the other variant right after it: both
variants are measured as the first. (d) is a build again; (e) replaces a small extension, `youki`, by another version of
it in a variant with Spin and Tailscale. Each figure is the median of so many calls, by turns: `--times` of the command,
or else 3 for four outputs and 2 for six; twice as many for (d).

CPU, memory and bytes written are the whole machine's: memory above what was in use before, bytes as written to the
disks by the end.

$targets
$longest
$tables
## Upstream's way, run by run

| output | wall s | CPU s | peak memory MB | written MB | |
|---|---|---|---|---|---|
$runs

## What ran

Commands that were not in the engine's cache, by what they are for:

$ran
$disks""")


def page(figures: Figures) -> str:
    """Return the page."""
    stand_ins = "the lab's stand-ins (docs/lab.md), which are smaller than Talos"
    return _PAGE.substitute(
        command=figures.command,
        date=figures.date,
        cores=figures.cores,
        longest=_parts(figures) if "initramfs" in figures.upstream else "",
        disks="\n".join(_disks(figures)),
        inputs=stand_ins if figures.lab else "the published images",
        targets="\n".join(_targets(figures)),
        tables="\n".join(line for name in figures.builds for line in _table(figures, name)),
        runs="\n".join(_row(output, cost) for output, cost in figures.upstream.items()),
        ran="\n".join(_ran(figures)),
    )


_COLOURS = {
    "upstream": "#8a8a8a",
    "cold": "#1f6feb",
    "second": "#2da44e",
    "other": "#54aeff",
    "after-other": "#4ac26b",
    "every": "#cf222e",
    "unchanged": "#bf8700",
    "idle": "#c9c9c9",
    "changed": "#8250df",
}
_WIDTH, _LEFT, _BAR, _GAP = 900, 330, 18, 6


def plot(figures: Figures) -> str:
    """Return the wall times as bars, in SVG."""
    rows: list[tuple[str, str, float | None]] = []
    for name, cases in figures.builds.items():
        rows += [(SET_NAMES[name].replace("`", ""), "", None)]
        rows += [("(a) upstream's way", "upstream", figures.upstreams(name).wall)]
        rows += [(CASES[case], case, cost.wall) for case, (cost, _) in cases.items()]
    most = max(value for _, _, value in rows if value is not None)
    height = len(rows) * (_BAR + _GAP) + 2 * _GAP
    shapes: list[str] = []
    for number, (label, colour, value) in enumerate(rows):
        top = _GAP + number * (_BAR + _GAP)
        weight = ' font-weight="bold"' if value is None else ""
        shapes.append(f'<text x="8" y="{top + 13}"{weight}>{html.escape(label.replace("`", ""))}</text>')
        if value is None:
            continue
        length = value / most * (_WIDTH - _LEFT - 70)
        shapes.append(f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" fill="{_COLOURS[colour]}"/>')
        shapes.append(f'<text x="{_LEFT + length + 6:.1f}" y="{top + 13}">{value:.1f} s</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" fill="#24292f">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )
