"""Checks of the initramfs and of the system extensions in it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING

from ci.common.filenames import BASE_IMAGE, EXTENSIONS_YAML
from ci.inspect.models import ArchiveFacts, Entry, ExtensionFacts, InitramfsFacts
from ci.verify.compatibility import ConstraintError, satisfies
from ci.verify.model import Verdict, skip
from ci.verify.paths import foreign_programs, mode_problems, path_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets, Found

_NO_EXTENSIONS = "there are no extensions"
_FIRMWARE = re.compile(r"(?:usr/)?lib/firmware(?:/|$)")
#: Of a folder that an archive implies.
_UNKNOWN_MODE = -1
#: The kernel's own lists of modules, which extensions bring along: the imager makes new ones over all of them.
_INDEX = re.compile(r"(?:usr/)?lib/modules/[^/]+/modules\.[^/]+")
#: What Talos's initramfs holds besides its images; microcode is for the kernel's early loader.
_EXPECTED = re.compile(
    r"init|extensions\.yaml|[^/]+\.sqsh|(usr|usr/lib|lib|kernel|kernel/x86)|(usr/)?lib/firmware(/.*)?|kernel/x86/microcode(/.*)?"
)


def _each_initramfs(
    judge: Callable[[Assets, Found[InitramfsFacts], Verdict], None],
) -> Callable[[Assets, Expectation], Verdict]:
    """Make a check of what is to be said of one initramfs; what leaves no evidence had nothing to look at."""

    @wraps(judge)
    def check(assets: Assets, _: Expectation) -> Verdict:
        verdict = Verdict()
        for initramfs in assets.distinct(InitramfsFacts):
            judge(assets, initramfs, verdict)
        return verdict if verdict.evidence or verdict.problems else skip(_NO_EXTENSIONS)

    return check


def _entries(initramfs: Found[InitramfsFacts]) -> list[Entry]:
    return [entry for frame in initramfs.facts.frames for entry in frame.entries]


@_each_initramfs
def base(assets: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`initramfs.base`."""
    names = {entry.path: entry for entry in _entries(initramfs)}
    verdict.problems += [f"{initramfs.path} lacks /{name}" for name in ("init", BASE_IMAGE) if name not in names]
    init, images = names.get("init"), assets.images_of(initramfs)
    if init is not None and (init.type != "file" or init.machine is None):
        verdict.problems.append(f"{initramfs.path}: /init is a {init.type}, no program")
    if BASE_IMAGE in names and BASE_IMAGE not in images:
        verdict.problems.append(f"{initramfs.path}: /{BASE_IMAGE} is a {names[BASE_IMAGE].type}, no squashfs image")
    frames = ", ".join(f"{frame.compression} {frame.size} bytes" for frame in initramfs.facts.frames)
    verdict.evidence.append(f"{initramfs.path}: {frames}")


@_each_initramfs
def duplicates(_: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`initramfs.duplicates`."""
    counts = Counter(entry.path for entry in _entries(initramfs))
    folders = Counter(entry.path for entry in _entries(initramfs) if entry.type == "directory")
    verdict.problems += [
        f"{initramfs.path} has /{path} {count} times: the last one hides the others"
        for path, count in sorted(counts.items())
        if count > 1 and folders[path] < count
    ]
    verdict.evidence.append(f"{initramfs.path}: {len(counts)} names")


@_each_initramfs
def strays(_: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`initramfs.nothing-else`."""
    for entry in _entries(initramfs):
        if not _EXPECTED.fullmatch(entry.path):
            verdict.problems.append(f"{initramfs.path} holds /{entry.path}, which Talos does not look for")
        elif entry.type not in ("file", "directory", "symlink"):
            verdict.problems.append(f"{initramfs.path}: /{entry.path} is a {entry.type}, which Talos does not look for")
    verdict.evidence.append(f"{initramfs.path}: {len(_entries(initramfs))} names")


@_each_initramfs
def listed(assets: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`extensions.listed`."""
    images = set(assets.images_of(initramfs)) - {BASE_IMAGE}
    layers = [layer.image for layer in initramfs.facts.layers or ()]
    verdict.problems += [
        f"{initramfs.path}: {image} is there, but {EXTENSIONS_YAML} does not list it: Talos would not mount it"
        for image in sorted(images - set(layers))
    ]
    verdict.problems += [
        f"{initramfs.path}: {EXTENSIONS_YAML} lists {image}, which is not there: Talos would not start"
        for image in sorted(set(layers) - images)
    ]
    verdict.problems += [
        f"{initramfs.path}: {EXTENSIONS_YAML} lists {image} {count} times"
        for image, count in sorted(Counter(layers).items())
        if count > 1
    ]
    if layers or images:
        verdict.evidence.append(f"{initramfs.path}: {len(layers)} images listed")


def planned(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.planned`."""
    if expectation.extensions is None:
        return skip("no plan says which extensions there should be")
    verdict = Verdict()
    wanted = {extension.name: extension.version for extension in expectation.extensions}
    for initramfs in assets.distinct(InitramfsFacts):
        actual = {extension.layer.name: extension.layer.version for extension in assets.extensions(initramfs)}
        verdict.problems += [f"{initramfs.path} lacks {name}" for name in wanted if name not in actual]
        verdict.problems += [f"{initramfs.path} holds {name}, not planned" for name in actual if name not in wanted]
        verdict.problems += [
            f"{initramfs.path} holds {name} {actual[name]}, planned is {version}"
            for name, version in wanted.items()
            if version is not None and name in actual and actual[name].lstrip("v") != version.lstrip("v")
        ]
        verdict.evidence.append(f"{initramfs.path}: {', '.join(f'{n} {v}' for n, v in actual.items()) or 'none'}")
    return verdict


def absent(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.absent`."""
    if not expectation.absent:
        return skip("nothing is said to be absent")
    trees = assets.names()
    verdict = Verdict(evidence=[f"no trace of {', '.join(expectation.absent)} in {path}" for path, _ in trees])
    words = [word.lower() for word in expectation.absent]
    for path, entries in trees:
        verdict.problems += [
            f"{path}: /{entry.path}"
            for entry in entries
            if any(word in entry.path.lower() or word in (entry.target or "").lower() for word in words)
        ]
    for initramfs in assets.distinct(InitramfsFacts):
        verdict.problems += [
            f"{initramfs.path}: {EXTENSIONS_YAML} lists {layer.name}"
            for layer in initramfs.facts.layers or ()
            if any(word in layer.name.lower() for word in words)
        ]
    return verdict


@_each_initramfs
def unique(assets: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`extensions.unique`."""
    counts = Counter(extension.layer.name for extension in assets.extensions(initramfs))
    verdict.problems += [
        f"{initramfs.path} has {name} {count} times" for name, count in sorted(counts.items()) if count > 1
    ]
    if counts:
        verdict.evidence.append(f"{initramfs.path}: {len(counts)} extensions")


def compatible(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.compatible`."""
    layers = [
        (f"{initramfs.path}: {extension.layer.name}", extension.layer.compatibility)
        for initramfs in assets.distinct(InitramfsFacts)
        for extension in assets.extensions(initramfs)
    ]
    if expectation.talos is None or not layers:
        return skip("the Talos version is not known" if layers else _NO_EXTENSIONS)
    return compatibility(layers, expectation.talos)


def compatibility(constraints: Iterable[tuple[str, str]], talos: str) -> Verdict:
    """Return whether a Talos version meets the constraints of extensions."""
    verdict = Verdict()
    for name, constraint in constraints:
        try:
            met = satisfies(constraint, talos)
        except ConstraintError as error:
            verdict.problems.append(f"{name}: {error}")
            continue
        if not met:
            verdict.problems.append(f"{name} wants Talos {constraint}, this is {talos}")
        verdict.evidence.append(f"{name}: {constraint or 'any'}")
    return verdict


@dataclass(frozen=True)
class _Tree:
    """The file tree of one extension in one initramfs."""

    initramfs: str
    place: str
    name: str
    entries: tuple[Entry, ...]


def _trees(assets: Assets) -> list[_Tree]:
    """Return every extension; an image that is listed twice is one."""
    found: dict[str, _Tree] = {}
    for initramfs in assets.distinct(InitramfsFacts):
        for extension in assets.extensions(initramfs):
            if extension.squashfs is not None:
                name = extension.layer.name
                tree = _Tree(initramfs.path, f"{extension.path} ({name})", name, extension.squashfs.entries)
                found.setdefault(extension.path, tree)
    return list(found.values())


def paths(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.paths`."""
    trees = _trees(assets)
    return Verdict(
        problems=[f"{tree.place}: {line}" for tree in trees for line in path_problems(tree.entries, expectation.talos)],
        evidence=[f"{tree.place}: {len(tree.entries)} names" for tree in trees],
        skipped=None if trees else _NO_EXTENSIONS,
    )


def modes(assets: Assets, _: Expectation) -> Verdict:
    """`extensions.modes`."""
    trees = [(tree.place, tree.entries) for tree in _trees(assets)]
    # The imager moves the extensions' firmware out of their images.
    for initramfs in assets.distinct(InitramfsFacts):
        firmware = tuple(entry for entry in _entries(initramfs) if _FIRMWARE.match(entry.path))
        trees += [(f"{initramfs.path} (firmware)", firmware)] if firmware else []
    return Verdict(
        problems=[f"{place}: {line}" for place, entries in trees for line in mode_problems(entries)],
        evidence=[f"{place}: {len(entries)} names" for place, entries in trees],
        skipped=None if trees else _NO_EXTENSIONS,
    )


def overlap(assets: Assets, _: Expectation) -> Verdict:
    """`extensions.overlap`."""
    trees = _trees(assets)
    if len(trees) < 2:
        return skip("there are no two extensions")
    verdict = Verdict(evidence=[f"{len(trees)} extensions"])
    for initramfs in assets.distinct(InitramfsFacts):
        group = [(tree.name, tree.entries) for tree in trees if tree.initramfs == initramfs.path]
        verdict.problems += [f"{initramfs.path}: {line}" for line in overlaps(group)]
    return verdict


def overlaps(trees: Iterable[tuple[str, Iterable[Entry]]]) -> list[str]:
    """Return what two extensions carry differently at one path: one of them would be hidden."""
    first: dict[str, tuple[str, Entry]] = {}
    problems: list[str] = []
    for name, given in trees:
        for path, entry in _with_folders(given).items():
            if _INDEX.fullmatch(path):
                continue
            owner, known = first.setdefault(path, (name, entry))
            if owner != name and (what := _difference(known, entry)):
                problems.append(f"/{path} is in {owner} and, {what}, in {name}")
    return problems


def _with_folders(given: Iterable[Entry]) -> dict[str, Entry]:
    """Return a tree by path: hard links as the files that they are, folders also where no entry names them."""
    entries = {entry.path: entry for entry in given}
    for path, entry in list(entries.items()):
        linked = entries.get(entry.target or "") if entry.type == "hardlink" else None
        if linked is not None:
            entries[path] = linked.model_copy(update={"path": path})
        for end in range(1, len(parts := path.split("/"))):
            folder = "/".join(parts[:end])
            entries.setdefault(folder, Entry(path=folder, type="directory", mode=_UNKNOWN_MODE))
    return entries


def _difference(one: Entry, other: Entry) -> str | None:
    """Return in which way two entries at one path differ, in words."""
    if one.type != other.type:
        return f"as a {other.type} instead of a {one.type}"
    if (one.sha256, one.target) != (other.sha256, other.target):
        return "with other content"
    if _UNKNOWN_MODE in (one.mode, other.mode):
        return None
    if one.mode != other.mode and one.type != "symlink":
        return f"with the mode {other.mode:04o} instead of {one.mode:04o}"
    if (one.uid, one.gid) != (other.uid, other.gid):
        return f"with the owner {other.uid}:{other.gid} instead of {one.uid}:{one.gid}"
    return None


def elf_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`elf.machine`."""
    arch = expectation.arch
    if arch is None:
        return skip("the architecture is not known")
    trees = assets.trees() + [
        (archive.path, archive.facts.entries)
        for kind in (ArchiveFacts, ExtensionFacts)
        for archive in assets.distinct(kind)
    ]
    count = sum(entry.machine is not None for _, entries in trees for entry in entries)
    return Verdict(
        problems=[f"{place}: {line}" for place, entries in trees for line in foreign_programs(entries, arch)],
        evidence=[f"{count} ELF files for {arch}"],
        skipped=None if count else "there are no ELF files",
    )
