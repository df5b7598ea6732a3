"""What gained or lost an architecture between two releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.common.values import Value
from ci.workloads.lookup import repository_of
from ci.workloads.verdict import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.workloads.verdict import PackageState, SourceState, Verdict


class Change(Value):
    """Something whose answer is another one; `None` where it is not there."""

    name: str
    before: State | None
    after: State | None
    #: Images that stand in the way afterwards, or that no longer do.
    images: tuple[str, ...] = ()


class Changes(Value):
    """The difference of two answers for one architecture."""

    arch: str
    bundles: tuple[Change, ...] = ()
    applications: tuple[Change, ...] = ()
    packages: tuple[Change, ...] = ()
    #: By repository: another tag of an image is the same image.
    images: tuple[Change, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether anything that was there for the architecture is not any more."""
        everything = (*self.bundles, *self.applications, *self.packages, *self.images)
        return any(change.before is State.YES and change.after in (State.PARTLY, State.NO) for change in everything)


def compare(before: Verdict, after: Verdict) -> Changes:
    """Return what is different; of images and packages that came or went, only those that are not there for it."""
    return Changes(
        arch=after.arch,
        bundles=tuple(_changes(_sources(before.bundles), _sources(after.bundles))),
        applications=tuple(_changes(_sources(before.applications), _sources(after.applications))),
        packages=tuple(_changes(_packages(before.packages), _packages(after.packages))),
        images=tuple(_changes(_images(before), _images(after))),
    )


_States = dict[str, tuple[State, tuple[str, ...]]]


def _sources(states: Iterable[SourceState]) -> _States:
    return {one.name: (one.state, tuple(image for cause in one.causes for image in cause.images)) for one in states}


def _packages(states: Iterable[PackageState]) -> _States:
    return {one.name: (one.state, one.because) for one in states}


def _images(verdict: Verdict) -> _States:
    found: _States = {}
    for image in verdict.images:
        if not image.packages:
            continue
        repository = repository_of(image.reference)
        known = found.get(repository)
        # Of several tags the one that is not there counts.
        if known is None or known[0] is State.YES:
            found[repository] = (image.state, (image.reference,))
    return found


def _changes(before: _States, after: _States) -> Iterable[Change]:
    for name in sorted({**before, **after}):
        old, old_images = before.get(name, (None, ()))
        new, new_images = after.get(name, (None, ()))
        if old is new or (old is None and new is State.YES) or (new is None and old is State.YES):
            continue
        yield Change(name=name, before=old, after=new, images=new_images if new is not State.YES else old_images)
