"""A boot's stages over time, as a picture (SVG) that needs nothing else and reads in light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from ci.boot.model import OUTCOME_SENTENCES, STAGE_TITLES, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.boot.model import BootVerdict

_WIDTH = 960
#: Space for the stages' names, and for the time at a bar's end.
_LEFT, _RIGHT = 190, 100
_TOP, _ROW, _BAR = 76, 30, 16
_AXIS = 34

_STYLE = """\
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .faint, .tick { fill: #57606a; font-size: 12px }
  .paper { fill: #ffffff } .grid { stroke: #d0d7de } .mark { stroke: #24292f }
  .bar { fill: #0969da } .kernel { fill: #8250df } .talos { fill: #1a7f37 } .end { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint, .tick { fill: #9198a1 } .paper { fill: #0d1117 } .grid { stroke: #3d444d }
    .mark { stroke: #e6edf3 } .bar { fill: #4493f8 } .kernel { fill: #ab7df8 } .talos { fill: #3fb950 }
    .end { fill: #f85149 }
  }"""
_KERNEL = (Stage.KERNEL, Stage.INITRAMFS, Stage.INIT)
_TALOS = (Stage.EXTENSIONS, Stage.ROOT, Stage.MACHINE, Stage.READY)


@dataclass(frozen=True)
class Bar:
    """From one stage to the next: how long it took to reach it."""

    label: str
    start: float
    end: float
    style: str


def bars(verdict: BootVerdict) -> list[Bar]:
    """Return a bar for each stage that was reached, and one for how a failed boot ended.

    Stages that are reached out of order (the initramfs is unpacked in parallel with other work) begin where they were
    left.
    """
    found: list[Bar] = []
    last = 0.0
    for one in verdict.stages:
        if one.seconds is None:
            continue
        style = "kernel" if one.stage in _KERNEL else "talos" if one.stage in _TALOS else "bar"
        # The stage is reached with the first extension, and its bar ends with the last.
        extensions = [each.seconds for each in verdict.extensions] if one.stage is Stage.EXTENSIONS else []
        end = max([one.seconds, *extensions])
        found.append(Bar(STAGE_TITLES[one.stage], min(last, one.seconds), end, style))
        last = max(last, end)
    if not verdict.ok:
        found.append(Bar(verdict.outcome.value, last, max(last, verdict.seconds), "end"))
    return found


def step(seconds: float, most: int = 10) -> float:
    """Return a round distance of ticks, so that there are at most `most` of them."""
    size = 0.1
    while True:
        for factor in (1, 2, 5):
            if seconds / (size * factor) <= most:
                return round(size * factor, 1)
        size *= 10


def timeline(verdict: BootVerdict) -> str:
    """Return the picture of a verdict."""
    rows = bars(verdict)
    height = _TOP + len(rows) * _ROW + _AXIS
    longest = max([0.1, *(row.end for row in rows)])
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    title = f"{verdict.variant} for {verdict.arch}, booted from {verdict.way}"
    if verdict.stand_in:
        title += " (stand-ins)"
    result = f"{verdict.outcome} after {verdict.seconds:.1f} s: "
    result += verdict.sentence or OUTCOME_SENTENCES[verdict.outcome]
    if verdict.machine:
        result += f"; {verdict.machine}"
    lines = [
        _head(title, height),
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text class="title" x="20" y="30">{escape(title)}</text>',
        f'<text class="faint" x="20" y="52">{escape(result)}</text>',
        *_axis(longest, scale, height),
        *(part for index, row in enumerate(rows) for part in _row(row, _TOP + index * _ROW, scale)),
        *_extensions(verdict, rows, scale),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _head(title: str, height: int) -> str:
    label = escape(title, {'"': "&quot;"})
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">'


def _axis(longest: float, scale: float, height: int) -> Iterator[str]:
    distance = step(longest)
    bottom = height - _AXIS
    for index in range(int(longest / distance + 1e-9) + 1):
        x = _LEFT + index * distance * scale
        yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{index * distance:g} s</text>'


def _row(row: Bar, top: float, scale: float) -> Iterator[str]:
    x, width = _LEFT + row.start * scale, max(2.0, (row.end - row.start) * scale)
    middle, y = top + _ROW / 2 + 4, top + (_ROW - _BAR) / 2
    yield f'<text x="{_LEFT - 12}" y="{middle:.1f}" text-anchor="end">{escape(row.label)}</text>'
    yield f'<rect class="{row.style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}"/>'
    yield f'<text class="faint" x="{x + width + 8:.1f}" y="{middle:.1f}">{row.end:.1f} s</text>'


def _extensions(verdict: BootVerdict, rows: list[Bar], scale: float) -> Iterator[str]:
    """Yield a mark for each extension, named when it is pointed at."""
    label = STAGE_TITLES[Stage.EXTENSIONS]
    index = next((number for number, row in enumerate(rows) if row.label == label), None)
    if index is None:
        return
    top = _TOP + index * _ROW
    for one in verdict.extensions:
        x = _LEFT + one.seconds * scale
        yield (
            f'<line class="mark" x1="{x:.1f}" y1="{top + 3}" x2="{x:.1f}" y2="{top + _ROW - 3}">'
            f"<title>{escape(f'{one.name} {one.version}, {one.seconds:.1f} s')}</title></line>"
        )
