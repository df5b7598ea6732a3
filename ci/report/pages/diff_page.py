"""The difference between two sets of assets as a page: what an operator has to know, sizes, then everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.filenames import BASE_IMAGE, MODULES_IMAGE, STAND_IN, STAND_IN_LINE
from ci.inspect.models import InitramfsFacts, UnreadableFacts
from ci.report.pages.templating import render_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.inspect.models import Inspection
    from ci.report.diff import Change, Difference

#: Rows of one place, and of the page; the rest is counted.
_MOST_ROWS: Final = 400
_MOST: Final = 3000
_MOST_PLACES: Final = 300
_MOST_SIZES: Final = 60

#: Changes to know before an upgrade, by how they begin, in this order, each with what it means.
_FIRST: Final = (
    ("architecture", "It is for other machines."),
    ("machine", "It is for other machines."),
    ("kind", "It is something else than before."),
    ("Talos version", "Read Talos's notes on what changes, and upgrade one minor version at a time."),
    ("kernel", "Kernel modules of other builds no longer load."),
    ("version", "A part has another version."),
    ("extension ", "What runs on every node changes."),
    ("argument ", "The kernel is started differently: netboot servers need the new line too."),
    ("partition ", "A disk that is written anew is laid out differently."),
    ("menu entry ", "The boot menu changes."),
    ("sbat", "Secure boot may refuse older boot loaders."),
)


@dataclass(frozen=True)
class Notice:
    """A change that matters, once, with the places where it is seen."""

    change: Change
    #: Where its rule is among all, and what it means.
    rank: int
    meaning: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Sizes:
    """Something on both sides, or on one, and how large it is there; bars in percent of the largest."""

    name: str
    before: int | None
    after: int | None
    before_bar: float
    after_bar: float


@dataclass(frozen=True)
class Place:
    """All changes of one file, or of a part in it."""

    name: str
    changes: tuple[Change, ...]
    more: int


def diff_page(before: Inspection, after: Inspection, difference: Difference) -> str:
    """Return the page of a difference between two inspections."""
    sides = (before, after)
    unread = [path for side in sides for path, node in side.walk() if isinstance(node.facts, UnreadableFacts)]
    stand_in = any(node.name == STAND_IN for side in sides for node in side.contents)
    sizes = (dict(_parts(before)), dict(_parts(after)))
    return difference_page(difference, *sizes, unread, STAND_IN_LINE if stand_in else "")


def difference_page(
    difference: Difference,
    before: Mapping[str, int],
    after: Mapping[str, int],
    unread: Iterable[str] = (),
    stand_in: str = "",
    release: str = "",
) -> str:
    """Return the page of a difference; `before` and `after` are the sizes of the two by name.

    `unread` are paths of what could not be compared. `release` leads to the page of the release that it belongs to.
    """
    places = list(_places(difference.changes))
    sizes = _sizes(before, after)
    return render_page(
        "diff.html",
        title=f"From {difference.before} to {difference.after}",
        stand_in=stand_in,
        release=release,
        difference=difference,
        notices=list(_notices(difference.changes)),
        unread=list(unread),
        resized=[row for row in sizes if row.before != row.after],
        same_size=[row for row in sizes if row.before == row.after],
        kinds=Counter(change.kind for change in difference.changes),
        places=places[:_MOST_PLACES],
        more_places=len(places) - len(places[:_MOST_PLACES]),
    )


def _notices(changes: Iterable[Change]) -> Iterator[Notice]:
    """Yield what matters: the same change in several outputs is one."""
    found: dict[tuple[int, str, str | None, str | None], list[Change]] = {}
    for change in changes:
        rank = next((rank for rank, (start, _) in enumerate(_FIRST) if _matters(change, start)), None)
        if rank is not None:
            found.setdefault((rank, change.what, change.before, change.after), []).append(change)
    for (rank, *_), same in sorted(found.items(), key=lambda item: (item[0][0], item[0][1])):
        yield Notice(same[0], rank, _FIRST[rank][1], tuple(change.place for change in same if change.place))


def _matters(change: Change, start: str) -> bool:
    if start.endswith(" "):
        return change.what.startswith(start)
    # A file that came or went is named by its kind, which may be "kernel".
    return change.what == start and change.kind == "changed"


def _places(changes: Iterable[Change]) -> Iterator[Place]:
    by_place: dict[str, list[Change]] = {}
    for change in changes:
        by_place.setdefault(change.place, []).append(change)
    left = _MOST
    for name, found in by_place.items():
        shown = found[: min(_MOST_ROWS, left)]
        left -= len(shown)
        yield Place(name, tuple(shown), len(found) - len(shown))


def _sizes(old: Mapping[str, int], new: Mapping[str, int]) -> list[Sizes]:
    """Return files and images of the initramfs with both sizes, the largest change first."""
    largest = max([*old.values(), *new.values(), 1])
    names = sorted(old.keys() | new.keys(), key=lambda name: (-abs(new.get(name, 0) - old.get(name, 0)), name))
    return [
        Sizes(
            name,
            old.get(name),
            new.get(name),
            round(100 * old.get(name, 0) / largest, 2),
            round(100 * new.get(name, 0) / largest, 2),
        )
        for name in names[:_MOST_SIZES]
    ]


def _parts(side: Inspection) -> Iterator[tuple[str, int]]:
    if side.kind == "folder":
        yield from ((node.name, node.size) for node in side.contents)
    else:
        yield "the whole file", side.size
    initramfs = next((node for _, node in side.walk() if isinstance(node.facts, InitramfsFacts)), None)
    if initramfs is None or not isinstance(initramfs.facts, InitramfsFacts):
        return
    names = {layer.image: f"extension {layer.name}" for layer in initramfs.facts.layers or ()}
    names |= {BASE_IMAGE: "Talos's base", MODULES_IMAGE: "index of kernel modules"}
    yield from ((names.get(node.name, node.name), node.size) for node in initramfs.contents)
