"""The picture of where a build comes from: inputs at the left, what is made of them at the right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ci.common.kinds import Initramfs

if TYPE_CHECKING:
    from ci.plan.model import Plan

#: Units of the picture, which is as wide as a telephone.
WIDTH: Final = 360
_BOX: Final = 128
_HEIGHT: Final = 28
_STEP: Final = 34
#: Characters that fit into a box.
_FITS: Final = 21
#: Boxes of one column; the rest is one box.
_MOST: Final = 40


@dataclass(frozen=True)
class Node:
    """A box with a name and, below it, a digest or a path."""

    x: int
    y: int
    name: str
    below: str
    style: str
    width: int = _BOX
    height: int = _HEIGHT


@dataclass
class Picture:
    """Boxes, and the lines between them as paths."""

    nodes: list[Node] = field(default_factory=list[Node])
    lines: list[str] = field(default_factory=list[str])
    height: int = 0


def picture(plan: Plan) -> Picture:
    """Return the picture of a plan."""
    origin = plan.origin
    inputs = [("CozyStack", origin.release or (origin.commit or "")[:12] or "a checkout", "imager")]
    inputs += [("imager", _short(plan.imager.digest), "imager")]
    if any(output.base_installer for output in plan.outputs):
        inputs.append(("installer base", _short(plan.installer_base.digest), "installer"))
    if plan.overlay and any(output.overlay for output in plan.outputs):
        inputs.append((f"overlay {plan.overlay.name}", _short(plan.overlay.digest), "overlay"))
    if plan.builds_initramfs:
        inputs += [(f"{one.name} {one.version}", _short(one.digest), "initramfs") for one in plan.extensions]
    if len(inputs) > _MOST:
        inputs = [*inputs[: _MOST - 1], (f"and {len(inputs) - _MOST + 1} more", "", "initramfs")]
    made = Picture(height=_STEP * max(len(inputs), len(plan.outputs), 3) + 8)
    left = [
        _node(0, index, len(inputs), made.height, name, below, "in") for index, (name, below, _) in enumerate(inputs)
    ]
    right = [
        _node(WIDTH - _BOX, index, len(plan.outputs), made.height, output.name, output.path, "out")
        for index, output in enumerate(plan.outputs)
    ]
    middle = {"imager": _middle(made.height // 4, "imager", "runs")}
    if plan.builds_initramfs:
        middle["initramfs"] = _middle(made.height * 3 // 4 - _HEIGHT, "initramfs", "packed once")
    made.nodes = [*left, *middle.values(), *right]
    for node, (_, _, to) in zip(left, inputs, strict=True):
        if to in middle:
            made.lines.append(_line(node, middle[to]))
    for node, output in zip(right, plan.outputs, strict=True):
        through = "initramfs" if output.initramfs is not Initramfs.NONE else "imager"
        made.lines.append(_line(middle[through], node))
        direct = {"installer"} if output.base_installer else set[str]()
        direct |= {"overlay"} if output.overlay else set[str]()
        made.lines += [_line(one, node) for one, (_, _, to) in zip(left, inputs, strict=True) if to in direct]
    if "initramfs" in middle:
        one, other = middle["imager"], middle["initramfs"]
        made.lines.append(f"M{one.x + one.width // 2} {one.y + one.height}V{other.y}")
    return made


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _fitting(text: str, most: int = _FITS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _node(x: int, index: int, count: int, height: int, name: str, below: str, style: str) -> Node:
    top = (height - count * _STEP) // 2
    return Node(x, top + index * _STEP + 3, _fitting(name), _fitting(below, _FITS + 2), style)


def _middle(y: int, name: str, below: str) -> Node:
    return Node(WIDTH // 2 - 30, y, name, below, "step", width=60)


def _line(one: Node, other: Node) -> str:
    x, y = one.x + one.width, one.y + one.height // 2
    to_x, to_y = other.x, other.y + other.height // 2
    half = (x + to_x) // 2
    return f"M{x} {y}C{half} {y} {half} {to_y} {to_x} {to_y}"
