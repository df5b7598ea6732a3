"""Checks of the initramfs and of the system extensions in it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING

from ci.common.filenames import BASE_IMAGE, MODULES_IMAGE
from ci.inspect.initramfs import EXTENSIONS_YAML
from ci.inspect.models import DiskFacts, InitramfsFacts
from ci.verify.compatibility import ConstraintError, satisfies
from ci.verify.model import Verdict, skip
from ci.verify.paths import foreign_programs, mode_problems, path_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ci.inspect.models import Entry
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets, Found

_NO_INITRAMFS = "there is no initramfs"
_MODULES = re.compile(r"(?:usr/)?lib/modules/([^/]+)/")
#: The kernel's own lists of modules, which extensions bring along: the imager makes new ones over all of them.
_INDEX = re.compile(r"(?:usr/)?lib/modules/[^/]+/modules\.[^/]+")
#: What Talos's initramfs holds beside its images; microcode is for the kernel's early loader.
_EXPECTED = re.compile(
    r"init|extensions\.yaml|[^/]+\.sqsh|(usr|usr/lib|lib|kernel|kernel/x86)|(usr/)?lib/firmware(/.*)?|kernel/x86/microcode(/.*)?"
)


def _each_initramfs(
    judge: Callable[[Assets, Found[InitramfsFacts], Verdict], None],
) -> Callable[[Assets, Expectation], Verdict]:
    """Makes a check of what is to be said of one initramfs; without any it is skipped."""

    @wraps(judge)
    def check(assets: Assets, _: Expectation) -> Verdict:
        found = assets.distinct(InitramfsFacts)
        if not found:
            return skip(_NO_INITRAMFS)
        verdict = Verdict()
        for initramfs in found:
            judge(assets, initramfs, verdict)
        return verdict

    return check


def _entries(initramfs: Found[InitramfsFacts]) -> list[Entry]:
    return [entry for frame in initramfs.facts.frames for entry in frame.entries]


@_each_initramfs
def base(_: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`initramfs.base`."""
    names = {entry.path for entry in _entries(initramfs)}
    verdict.problems += [f"{initramfs.path} lacks /{name}" for name in ("init", BASE_IMAGE) if name not in names]
    frames = ", ".join(f"{frame.compression} {frame.size} bytes" for frame in initramfs.facts.frames)
    verdict.evidence.append(f"{initramfs.path}: {frames}")


@_each_initramfs
def duplicates(_: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`initramfs.duplicates`."""
    counts = Counter(entry.path for entry in _entries(initramfs) if entry.type != "directory")
    verdict.problems += [
        f"{initramfs.path} has /{path} {count} times: the last one hides the others"
        for path, count in sorted(counts.items())
        if count > 1
    ]
    verdict.evidence.append(f"{initramfs.path}: {len(counts)} names")


@_each_initramfs
def strays(_: Assets, initramfs: Found[InitramfsFacts], verdict: Verdict) -> None:
    """`initramfs.nothing-else`."""
    for entry in _entries(initramfs):
        if not _EXPECTED.fullmatch(entry.path):
            verdict.problems.append(f"{initramfs.path} holds /{entry.path}, which Talos does not look for")


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
    verdict.evidence.append(f"{initramfs.path}: {len(layers)} images listed")


def planned(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.planned`."""
    found = assets.distinct(InitramfsFacts)
    if expectation.extensions is None:
        return skip("no plan says which extensions there should be")
    if not found:
        # A build that is to have one misses its file; anything else would pass for any variant without one.
        if expectation.files is not None or _may_be_hidden(assets):
            return skip(_NO_INITRAMFS)
        return Verdict(problems=[f"{_NO_INITRAMFS}: nothing here tells which extensions the assets have"])
    verdict = Verdict()
    wanted = {extension.name: extension.version for extension in expectation.extensions}
    for initramfs in found:
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


def _may_be_hidden(assets: Assets) -> bool:
    """Whether there is a disk that starts with GRUB: kernel and initramfs lie in XFS, which is not read."""
    return any(partition.name == "BOOT" for disk in assets.of(DiskFacts) for partition in disk.facts.partitions)


def absent(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.absent`."""
    if not expectation.absent:
        return skip("nothing is said to be absent")
    verdict = Verdict(evidence=[f"no trace of {', '.join(expectation.absent)}"])
    words = [word.lower() for word in expectation.absent]
    for path, entries in assets.trees():
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
    verdict.evidence.append(f"{initramfs.path}: {len(counts)} extensions")


def compatible(assets: Assets, expectation: Expectation) -> Verdict:
    """`extensions.compatible`."""
    layers = [
        (f"{initramfs.path}: {extension.layer.name}", extension.layer.compatibility)
        for initramfs in assets.distinct(InitramfsFacts)
        for extension in assets.extensions(initramfs)
    ]
    if expectation.talos is None or not layers:
        return skip("the Talos version is not known" if layers else "there are no extensions")
    return compatibility(layers, expectation.talos)


def compatibility(constraints: Iterable[tuple[str, str]], talos: str) -> Verdict:
    """Returns whether a Talos version meets the constraints of extensions."""
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
    """Returns every extension; an image that is listed twice is one."""
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
        skipped=None if trees else "there are no extensions",
    )


def modes(assets: Assets, _: Expectation) -> Verdict:
    """`extensions.modes`."""
    trees = _trees(assets)
    return Verdict(
        problems=[f"{tree.place}: {line}" for tree in trees for line in mode_problems(tree.entries)],
        evidence=[f"{tree.place}: {len(tree.entries)} names" for tree in trees],
        skipped=None if trees else "there are no extensions",
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
    """Returns the files that two extensions carry with different content: one of them would be hidden."""
    first: dict[str, tuple[str, Entry]] = {}
    problems: list[str] = []
    for name, entries in trees:
        for entry in entries:
            if entry.type == "directory" or _INDEX.fullmatch(entry.path):
                continue
            owner, known = first.setdefault(entry.path, (name, entry))
            if owner != name and (known.sha256, known.target) != (entry.sha256, entry.target):
                problems.append(f"/{entry.path} is in {owner} and, with other content, in {name}")
    return problems


def elf_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`elf.machine`."""
    arch = expectation.arch
    if arch is None:
        return skip("the architecture is not known")
    trees = assets.trees()
    count = sum(entry.machine is not None for _, entries in trees for entry in entries)
    return Verdict(
        problems=[f"{place}: {line}" for place, entries in trees for line in foreign_programs(entries, arch)],
        evidence=[f"{count} ELF files for {arch}"],
        skipped=None if count else "there are no ELF files",
    )


def _module_release(entry: Entry) -> str | None:
    found = _MODULES.match(entry.path)
    return found[1] if found and entry.type == "file" else None


def modules_kernel(assets: Assets, _: Expectation) -> Verdict:
    """`modules.kernel`."""
    releases = {kernel.facts.version for kernel in assets.kernels if kernel.facts.version}
    if not releases:
        return skip("the kernel's release is not known")
    wanted = " or ".join(sorted(releases))
    verdict = Verdict()
    counts: Counter[str] = Counter()
    for place, entries in assets.trees():
        for entry in entries:
            release = _module_release(entry)
            if release is None:
                continue
            counts[place] += 1
            if release not in releases:
                verdict.problems.append(f"{place}: /{entry.path} is for {release}, the kernel is {wanted}")
            elif entry.vermagic is not None and entry.vermagic.split(" ")[0] not in releases:
                built = entry.vermagic.split(" ")[0]
                verdict.problems.append(f"{place}: /{entry.path} was built for {built}, the kernel is {wanted}")
    verdict.evidence += [f"{place}: {count} files for {wanted}" for place, count in counts.items()]
    return verdict if counts else skip("there are no modules")


def modules_index(assets: Assets, _: Expectation) -> Verdict:
    """`modules.index`."""
    verdict = Verdict()
    for initramfs in assets.distinct(InitramfsFacts):
        with_modules = [
            extension.layer.name
            for extension in assets.extensions(initramfs)
            if extension.squashfs and any(entry.path.endswith(_ENDINGS) for entry in extension.squashfs.entries)
        ]
        if not with_modules:
            continue
        index = assets.images_of(initramfs).get(MODULES_IMAGE)
        names = {entry.path.rpartition("/")[2] for entry in index.entries} if index else set[str]()
        if "modules.dep" not in names:
            verdict.problems.append(
                f"{initramfs.path}: {', '.join(with_modules)} carry modules, but no {MODULES_IMAGE} with a modules.dep "
                "lists them: modprobe would not find them"
            )
        verdict.evidence.append(f"{initramfs.path}: modules of {', '.join(with_modules)}")
    return verdict if verdict.evidence else skip("no extension carries modules")


_ENDINGS = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")
