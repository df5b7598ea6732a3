"""Whether images, packages, applications and bundles run on an architecture, and on which image each "no" depends."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ci.common.values import Value
from ci.workloads.model import Place, Unresolved, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci.workloads.answers import Answers
    from ci.workloads.model import Bundle, FoundImage, Package, PackageSource, Workloads


class State(StrEnum):
    """Whether something runs on an architecture."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"
    UNKNOWN = "unknown"


class ImageState(Value):
    """An image, and whether it is there for the architecture."""

    reference: str
    state: State
    #: Why not, or why it is not known.
    reason: str = ""
    platforms: tuple[str, ...] = ()
    #: Packages that run it, and packages that only name it.
    packages: tuple[str, ...] = ()
    named_by: tuple[str, ...] = ()


class PackageImage(Value):
    """An image in a package."""

    reference: str
    runs: bool
    state: State
    places: tuple[Place, ...]
    workloads: tuple[Workload, ...] = ()


class PackageState(Value):
    """A package, and whether its images are there for the architecture."""

    name: str
    state: State
    #: What stands in the way: references, and for what is not known the reason.
    because: tuple[str, ...] = ()
    images: tuple[PackageImage, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    not_rendered: str | None = None


class Cause(Value):
    """What a "no" depends on: a package, with the images that it lacks or of which nothing is known."""

    package: str
    images: tuple[str, ...]
    #: The package source through which it is needed; empty for what is asked about itself.
    through: str = ""


class SourceState(Value):
    """A package source, or a bundle: by itself, and with all that it needs."""

    name: str
    application: bool = False
    own: State
    state: State
    packages: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()


class Verdict(Value):
    """The whole answer for one architecture."""

    arch: str
    bundles: tuple[SourceState, ...]
    applications: tuple[SourceState, ...]
    #: All other package sources.
    parts: tuple[SourceState, ...]
    packages: tuple[PackageState, ...]
    images: tuple[ImageState, ...]


_NO_IMAGES: Final = "images are named that the checkout alone does not say"


def judge(found: Workloads, answers: Answers, arch: str) -> Verdict:
    """Return the answer for an architecture, such as `arm64`."""
    states = {state.reference: state for state in _image_states(found.packages, answers, arch)}
    packages = {package.name: _package(package, states) for package in found.packages}
    closure = _Closure({source.name: source for source in found.sources}, packages)
    sources = [closure.source(source) for source in found.sources if not _of_bundle(source, found.bundles)]
    return Verdict(
        arch=arch,
        bundles=tuple(closure.bundle(bundle) for bundle in found.bundles),
        applications=tuple(source for source in sources if source.application),
        parts=tuple(source for source in sources if not source.application),
        packages=tuple(packages.values()),
        images=tuple(sorted(states.values(), key=lambda state: state.reference)),
    )


def _of_bundle(source: PackageSource, bundles: Iterable[Bundle]) -> bool:
    """Say whether a source is a release that only one bundle lists, which is not a name of its own."""
    return any(source.name.startswith(f"{bundle.name}/") for bundle in bundles)


def _image_states(packages: Iterable[Package], answers: Answers, arch: str) -> Iterable[ImageState]:
    running: dict[str, list[str]] = {}
    named: dict[str, list[str]] = {}
    for package in packages:
        for image in package.images:
            (running if image.runs else named).setdefault(image.reference, []).append(package.name)
    for reference in {**running, **named}:
        state, reason = image_state(reference, answers, arch)
        manifest = answers.manifest(reference)
        yield ImageState(
            reference=reference,
            state=state,
            reason=reason,
            platforms=tuple(one.name for one in manifest.platforms) if manifest else (),
            packages=tuple(running.get(reference, ())),
            named_by=tuple(named.get(reference, ())),
        )


def image_state(reference: str, answers: Answers, arch: str) -> tuple[State, str]:
    """Return whether an image is there for an architecture, and why not."""
    manifest = answers.manifest(reference)
    if manifest is None:
        return State.UNKNOWN, answers.problems.get(reference, "it was not looked up")
    if not manifest.platforms:
        return State.UNKNOWN, "its index lists no platform: it holds something other than an image"
    platforms = ", ".join(one.name for one in manifest.platforms)
    digest = manifest.digest_for(f"linux/{arch}")
    if digest is None:
        return State.NO, f"it is there for {platforms}" if manifest.index else f"it is made for {platforms} alone"
    entry = answers.entries.get(digest)
    if entry and entry.arch and entry.arch != arch:
        return State.NO, f"it is labelled {arch}, and {entry.path} in it is a program for {entry.arch}"
    return State.YES, ""


def _package(package: Package, states: Mapping[str, ImageState]) -> PackageState:
    images = [image for image in package.images if image.runs]
    found = [states[image.reference].state for image in images]
    lacking = [image.reference for image in images if states[image.reference].state is State.NO]
    unknown = [image.reference for image in images if states[image.reference].state is State.UNKNOWN]
    if lacking:
        state = State.NO if len(lacking) == len(images) else State.PARTLY
        because = lacking
    elif unknown or (package.unresolved and not images):
        state = State.UNKNOWN
        because = [f"{reference}: {states[reference].reason}" for reference in unknown] or [_NO_IMAGES]
    else:
        assert all(one is State.YES for one in found)
        state, because = State.YES, []
    return PackageState(
        name=package.name,
        state=state,
        because=tuple(because),
        images=tuple(_package_image(image, states) for image in package.images),
        unresolved=package.unresolved,
        not_rendered=package.not_rendered,
    )


def _package_image(image: FoundImage, states: Mapping[str, ImageState]) -> PackageImage:
    return PackageImage(
        reference=image.reference,
        runs=image.runs,
        state=states[image.reference].state,
        places=image.places,
        workloads=image.workloads,
    )


class _Closure:
    """What package sources need, by their names."""

    def __init__(self, sources: Mapping[str, PackageSource], packages: Mapping[str, PackageState]) -> None:
        self._sources = sources
        self._packages = packages

    def source(self, source: PackageSource) -> SourceState:
        own = self._components(source.name, None)
        needed = self._needed([(source.name, None)])
        needed.pop(source.name, None)
        return self._state(source.name, {"": own, **needed}, (), application=source.application)

    def bundle(self, bundle: Bundle) -> SourceState:
        chosen = {member.source: member.variant for member in bundle.members}
        sure = [(member.source, member.variant) for member in bundle.members if not member.optional]
        optional = tuple(member.source for member in bundle.members if member.optional)
        own = {name: self._components(name, variant) for name, variant in sure}
        needed = self._needed(sure, chosen)
        return self._state(bundle.name, {**{f"{name}": value for name, value in own.items()}, **needed}, optional)

    def _needed(
        self, start: Sequence[tuple[str, str | None]], chosen: Mapping[str, str] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """Return the packages of all sources that are needed, the first ones included, by source."""
        found: dict[str, tuple[str, ...]] = {}
        todo = list(start)
        while todo:
            name, variant = todo.pop(0)
            if name in found:
                continue
            found[name] = self._components(name, variant)
            todo += [(need, (chosen or {}).get(need)) for need in self._variant_needs(name, variant)]
        return found

    def _chosen(self, name: str, variant: str | None) -> int | None:
        source = self._sources.get(name)
        if source is None or not source.variants:
            return None
        names = [one.name for one in source.variants]
        for wanted in (variant, "default"):
            if wanted in names:
                return names.index(wanted)
        # The first variants of some do nothing; the one that a whole platform takes does most.
        return max(range(len(names)), key=lambda number: len(source.variants[number].components))

    def _components(self, name: str, variant: str | None) -> tuple[str, ...]:
        number = self._chosen(name, variant)
        if number is None:
            return ()
        return tuple(dict.fromkeys(one.package for one in self._sources[name].variants[number].components))

    def _variant_needs(self, name: str, variant: str | None) -> tuple[str, ...]:
        number = self._chosen(name, variant)
        return () if number is None else self._sources[name].variants[number].needs

    def _state(
        self, name: str, needed: dict[str, tuple[str, ...]], optional: tuple[str, ...], *, application: bool = False
    ) -> SourceState:
        own = needed.get("", ())
        packages = dict.fromkeys(package for found in needed.values() for package in found)
        causes: list[Cause] = []
        seen: set[str] = set()
        for through, found in needed.items():
            for package in found:
                state = self._packages.get(package)
                if package in seen or state is None or state.state is State.YES:
                    continue
                seen.add(package)
                shown = "" if through == name else through
                causes.append(Cause(package=package, images=state.because, through=shown))
        return SourceState(
            name=name,
            application=application,
            own=self._together(own or packages),
            state=self._together(packages),
            packages=tuple(packages),
            optional=optional,
            causes=tuple(causes),
        )

    def _together(self, packages: Iterable[str]) -> State:
        found = [self._packages[package] for package in packages if package in self._packages]
        running = [one.state for one in found if one.images or one.unresolved]
        if any(state in (State.NO, State.PARTLY) for state in running):
            return State.NO if all(state is State.NO for state in running) else State.PARTLY
        return State.UNKNOWN if State.UNKNOWN in running else State.YES
