"""Checks of system extension images before they are packed: faults that the imager accepts silently."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci.inspect.errors import InspectError
from ci.inspect.inspect import inspect_path
from ci.inspect.models import ExtensionFacts, KernelFacts
from ci.verify.checks_extensions import compatibility, overlaps
from ci.verify.checks_modules import release_problems
from ci.verify.model import Requirement, Result, Verdict, VerifyError, skip
from ci.verify.paths import foreign_programs, mode_problems, path_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ci.inspect.models import AnyFacts, Entry

_MANIFEST_VERSION = "v1alpha1"
#: So many images are read at the same time; each takes up to half a gigabyte of memory at the worst.
_THREADS = 2


@dataclass
class Images:
    """The extension images of one plan, as far as they can be read."""

    talos: str
    arch: str
    #: Release of the kernel that they will meet; `None` where it is not known.
    kernel: str | None = None
    #: What each is called, and what it is.
    found: list[tuple[str, ExtensionFacts]] = field(default_factory=list[tuple[str, ExtensionFacts]])
    reading: Verdict = field(default_factory=Verdict)

    def add(self, path: Path, facts: AnyFacts | InspectError) -> None:
        """Take in what an image's file tree was found to be, a folder or a tar."""
        if isinstance(facts, InspectError):
            self.reading.problems.append(str(facts))
        elif isinstance(facts, ExtensionFacts):
            self.found.append((path.name, facts))
            self.reading.evidence.append(f"{path.name}: {facts.name} {facts.version}")
        else:
            self.reading.problems.append(f"{path}: no system extension: /manifest.yaml and /rootfs are not both there")

    def each(self, judge: Callable[[tuple[Entry, ...]], Iterable[str]]) -> Verdict:
        """Return what is wrong with the names of any."""
        return Verdict([f"{label}: {line}" for label, facts in self.found for line in judge(facts.entries)])


def _readable(images: Images) -> Verdict:
    return images.reading


def _manifest(images: Images) -> Verdict:
    return Verdict(
        problems=[
            f"{label}: manifest version {facts.manifest_version!r}, Talos knows {_MANIFEST_VERSION!r}"
            for label, facts in images.found
            if facts.manifest_version != _MANIFEST_VERSION
        ]
        + [
            f"{label}: /{stray} is next to manifest.yaml and rootfs, which Talos refuses"
            for label, facts in images.found
            for stray in facts.strays
        ]
    )


def _compatible(images: Images) -> Verdict:
    return compatibility([(label, facts.compatibility) for label, facts in images.found], images.talos)


def _paths(images: Images) -> Verdict:
    return images.each(lambda entries: path_problems(entries, images.talos))


def _modes(images: Images) -> Verdict:
    return images.each(mode_problems)


def _machine(images: Images) -> Verdict:
    return images.each(lambda entries: foreign_programs(entries, images.arch))


def _kernel(images: Images) -> Verdict:
    if images.kernel is None:
        return skip("the kernel's release is not known")
    releases = {images.kernel}
    return images.each(lambda entries: release_problems(entries, releases))


def _unique(images: Images) -> Verdict:
    names = Counter(facts.name for _, facts in images.found)
    return Verdict([f"{name} is there {count} times" for name, count in sorted(names.items()) if count > 1])


def _overlap(images: Images) -> Verdict:
    return Verdict(overlaps([(facts.name, facts.entries) for _, facts in images.found]))


REQUIREMENTS: tuple[Requirement, ...] = tuple(
    Requirement(*row)
    for row in (
        ("extension.readable", "Every extension has a valid manifest and a root file system.", _readable),
        (
            "extension.manifest",
            "Every manifest is of the version that Talos knows, with nothing next to it.",
            _manifest,
        ),
        ("extension.compatible", "Every extension is compatible with the Talos version.", _compatible),
        ("extension.paths", "Extensions carry files only where Talos allows them.", _paths),
        ("extension.modes", "Nothing in an extension is writable by everyone.", _modes),
        ("extension.machine", "Every ELF file is for the planned architecture, firmware excepted.", _machine),
        ("extension.kernel", "Every kernel module is for the kernel that the imager has.", _kernel),
        ("extension.unique", "No two extensions have the same name.", _unique),
        ("extension.overlap", "No two extensions carry different files at the same path.", _overlap),
    )
)


def check_extensions(paths: Sequence[Path], talos: str, arch: str, kernel: Path | None = None) -> Result:
    """Check the extension images of one plan, each an unpacked file tree or a tar of it.

    All of a plan belong in one call: two of the same name, and two that carry the same file, are seen only so.
    `kernel` is the one that the imager puts into the assets.
    """
    images = Images(talos, arch, _release(kernel) if kernel else None)
    # At the same time: the libraries that read and digest let other threads run.
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, facts in zip(paths, pool.map(_facts, paths), strict=True):
            images.add(path, facts)
    # Who asks without a kernel does not ask for what is to be held against it.
    asked = [one for one in REQUIREMENTS if kernel or one.run is not _kernel]
    return Result(checks=tuple(one.run(images).check(one.id, one.sentence) for one in asked))


def _facts(path: Path) -> AnyFacts | InspectError:
    try:
        return inspect_path(path).facts
    except InspectError as error:
        return error


def _release(kernel: Path) -> str | None:
    facts = inspect_path(kernel).facts
    if not isinstance(facts, KernelFacts):
        raise VerifyError(f"{kernel}: no kernel, but a {facts.kind}: modules can't be held against it")
    return facts.version
