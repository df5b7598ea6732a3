"""What was read already: the same bytes in two files are read once, also where both are read at the same time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.inspect.models import Inspection

#: Files below this size are not looked up among those seen before: they are read faster than explained.
SMALL = 512


class Seen:
    """Contents by digest, of all files of one inspection. In each, `same_as` is its own path, until it is `settled`."""

    def __init__(self) -> None:
        self._found: dict[str, Inspection] = {}
        self._being_read: set[str] = set()
        self._somebody_waits = False
        self._changed = threading.Condition()

    def begin(self, digest: str, own: set[str]) -> Inspection | None:
        """Return what has a digest; `None`: the caller reads it, and calls `end`. `own` is what the caller reads now.

        What another one reads is waited for. Only one waits at a time: two whose contents are in each other, which only
        an attack makes, would wait for ever.
        """
        with self._changed:
            if digest in self._being_read and digest not in own and not self._somebody_waits:
                self._somebody_waits = True
                try:
                    self._changed.wait_for(lambda: digest not in self._being_read)
                finally:
                    self._somebody_waits = False
            found = self._found.get(digest)
            if found is None and digest not in self._being_read:
                self._being_read.add(digest)
                own.add(digest)
            return found

    def end(self, digest: str, own: set[str], found: Inspection | None) -> None:
        """Take what was read, `None` where it could not be; an error in it names its place, and is for nobody else."""
        if found is not None and any(node.kind == "unreadable" for _, node in found.walk()):
            found = None
        with self._changed:
            if found is not None:
                self._found[digest] = found
            if digest in own:
                own.discard(digest)
                self._being_read.discard(digest)
                self._changed.notify_all()


def moved(node: Inspection, path: str) -> Inspection:
    """Return what was read at one path as if it had been at another one."""
    if node.same_as is None:
        return node
    contents = tuple(
        moved(inner, path + inner.same_as.removeprefix(node.same_as)) if inner.same_as is not None else inner
        for inner in node.contents
    )
    return node.model_copy(update={"contents": contents, "same_as": path})


def settled(node: Inspection) -> Inspection:
    """Return what was read, all of it in order, with what is inside the same bytes at their first place only."""
    return _settled(node, {})


def _settled(node: Inspection, first: dict[str, Inspection]) -> Inspection:
    if node.same_as is not None and node.size >= SMALL and (known := first.get(node.sha256)) is not None:
        return node.model_copy(update={"facts": known.facts, "contents": (), "same_as": known.same_as})
    if node.same_as is not None:
        first[node.sha256] = node
    contents = tuple(_settled(inner, first) for inner in node.contents)
    return node.model_copy(update={"contents": contents, "same_as": None})
