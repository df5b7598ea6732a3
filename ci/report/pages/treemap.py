"""What takes the space, as rectangles: kernel, Talos's base and each extension, down to their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.filenames import BASE_IMAGE, MODULES_IMAGE
from ci.report.pages.templating import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci.inspect.models import Entry, InitramfsFacts, SquashfsFacts
    from ci.verify.assets import Assets


@dataclass(frozen=True)
class Canvas:
    """A picture's units, which are about pixels on the screen that it is for, and how many files of a part it shows."""

    width: int
    height: int
    most_files: int


#: For a window, and for a telephone, on which the first one's words would be too small to read.
WIDE: Final = Canvas(720, 440, 60)
NARROW: Final = Canvas(360, 460, 8)
#: Parts that have a rectangle of their own; the rest is one rectangle.
_MOST_PARTS: Final = 40
#: Files smaller than this share of everything are summed up.
_SMALLEST: Final = 0.0008
#: Room for a part's name above its files, where the part is large enough.
_HEAD: Final = 18


@dataclass(frozen=True)
class Part:
    """Something that takes space: its bytes in the assets, and what it is made of."""

    name: str
    size: float
    parts: tuple[Part, ...] = ()
    #: Bytes of a packed file when it is unpacked.
    unpacked: int | None = None


@dataclass(frozen=True)
class Box:
    """One rectangle of the picture."""

    x: float
    y: float
    width: float
    height: float
    name: str
    size: float
    #: Number of the part that it belongs to, for its colour.
    number: int
    #: Whether it is a part, and not one of its files.
    outer: bool
    #: What stands in it; empty where there is no room.
    label: str = ""


def space(assets: Assets) -> Part | None:
    """Return what a node loads, by what takes its space: kernel and initramfs, each once."""
    parts = [Part("kernel", node.node.size) for node in assets.kernels[:1]]
    for initramfs in assets.initramfs[:1]:
        parts += _of_initramfs(initramfs.facts, assets.images_of(initramfs))
    parts = _bounded(parts, _MOST_PARTS, 0, "parts")
    return Part("all", sum(part.size for part in parts), tuple(parts)) if parts else None


def _of_initramfs(facts: InitramfsFacts, images: Mapping[str, SquashfsFacts]) -> Iterator[Part]:
    names = {layer.image: f"extension {layer.name}" for layer in facts.layers or ()}
    names |= {BASE_IMAGE: "Talos's base", MODULES_IMAGE: "index of kernel modules"}
    loose: list[Part] = []
    for frame in facts.frames:
        files = [entry for entry in frame.entries if entry.type == "file" and entry.size]
        for part in _shared(files, frame.size):
            if inner := images.get(part.name):
                below = _shared(_files(inner.entries), part.size)
                yield Part(names.get(part.name, part.name), part.size, tuple(below))
            else:
                loose.append(part)
    if loose:
        yield Part("init and firmware", sum(part.size for part in loose), tuple(loose))


def _files(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.type == "file" and entry.size]


def _shared(entries: Sequence[Entry], size: float) -> list[Part]:
    """Return files with their shares of a packed size: how well each was packed is not known."""
    total = sum(entry.size for entry in entries)
    return [Part(entry.path, size * entry.size / total, unpacked=entry.size) for entry in entries]


def _bounded(parts: Iterable[Part], most: int, smallest: float, what: str) -> list[Part]:
    """Return the largest parts first, and what is beyond them as one."""
    found = sorted(parts, key=lambda part: (-part.size, part.name))
    kept = [part for part in found[:most] if part.size >= smallest]
    rest = found[len(kept) :]
    if len(rest) == 1 and rest[0].size >= smallest:
        return found
    size = sum(part.size for part in rest)
    return [*kept, Part(f"{len(rest)} smaller {what}", size)] if rest else kept


def boxes(whole: Part, canvas: Canvas = WIDE) -> list[Box]:
    """Return the rectangles of the picture, parts before what is in them."""
    found: list[Box] = []
    everything = (0.0, 0.0, float(canvas.width), float(canvas.height))
    for number, (part, place) in enumerate(_squares(whole.parts, everything)):
        x, y, width, height = place
        headed = height > 2 * _HEAD and width > 40
        found.append(_box(part, place, number, outer=True, room=headed or (not part.parts and height > _HEAD)))
        inside = (x + 2, y + (_HEAD if headed else 2), width - 4, height - (_HEAD + 2 if headed else 4))
        if inside[2] <= 2 or inside[3] <= 2:
            continue
        files = _bounded(part.parts, canvas.most_files, whole.size * _SMALLEST, "files")
        found += [_box(file, spot, number, outer=False, room=spot[3] > 14) for file, spot in _squares(files, inside)]
    return found


def _box(part: Part, place: tuple[float, float, float, float], number: int, *, outer: bool, room: bool) -> Box:
    x, y, width, height = (round(one, 1) for one in place)
    short = part.name if outer else part.name.rpartition("/")[2]
    fits = int((width - 6) / (8.2 if outer else 6.6))
    if outer and len(short) + len(said := f" {bytes_text(part.size)}") <= fits:
        short += said
    label = short if len(short) <= fits else f"{short[: fits - 1]}…" if fits > 4 else ""
    return Box(x, y, width, height, part.name, part.size, number % 8, outer, label if room else "")


def largest(part: Part, most: int = 12) -> list[Part]:
    """Return a part's largest files, and the rest as one."""
    return _bounded(part.parts, most, 0, "files")


_Place = tuple[float, float, float, float]


def _squares(parts: Sequence[Part], place: _Place) -> Iterator[tuple[Part, _Place]]:
    """Yield parts with rectangles that are as square as they can be (Bruls, Huizing, van Wijk: Squarified Treemaps)."""
    x, y, width, height = place
    left = [part for part in parts if part.size > 0]
    scale = width * height / sum(part.size for part in left) if left else 0.0
    while left:
        side = min(width, height)
        row, rest = _row([part.size * scale for part in left], side), left
        count = len(row)
        taken, left = rest[:count], rest[count:]
        thick = sum(row) / side if side > 0 else 0.0
        along = 0.0
        for part, area in zip(taken, row, strict=True):
            length = area / thick if thick > 0 else 0.0
            if width >= height:
                yield part, (x, y + along, thick, length)
            else:
                yield part, (x + along, y, length, thick)
            along += length
        if width >= height:
            x, width = x + thick, max(width - thick, 0.0)
        else:
            y, height = y + thick, max(height - thick, 0.0)


def _row(areas: Sequence[float], side: float) -> list[float]:
    """Return the areas that go into one row: one more as long as the worst of them gets no longer."""
    row: list[float] = []
    for area in areas:
        if row and _worst([*row, area], side) > _worst(row, side):
            break
        row.append(area)
    return row


def _worst(row: Sequence[float], side: float) -> float:
    total = sum(row)
    if total <= 0 or side <= 0:
        return float("inf")
    return max(side * side * max(row) / total**2, total**2 / (side * side * min(row)))
