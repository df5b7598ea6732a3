"""Checks of kernel modules: those of extensions, and those that the machine configuration loads."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from ci.common.filenames import BASE_IMAGE, MODULES_IMAGE
from ci.inspect.models import InitramfsFacts
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.inspect.models import Entry
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets, Found

_FOLDER = re.compile(r"(?:usr/)?lib/modules/([^/]+)/")
_MODULE = re.compile(r"(?:.*/)?([^/]+)\.ko(?:\.(?:xz|zst|gz))?$")


def module_name(path: str) -> str | None:
    """Return the name of the kernel module in a file, as the kernel has it; `None` where it is no module's file."""
    found = _MODULE.match(path)
    return _spelled(found[1]) if found else None


def _spelled(name: str) -> str:
    # modprobe and the kernel take - and _ for the same, but for ranges in patterns.
    return re.sub(r"\[[^]]*\]|-", lambda found: "_" if found[0] == "-" else found[0], name)


def release_problems(entries: Iterable[Entry], releases: set[str]) -> Iterator[str]:
    """Yield what is for another kernel than those of these releases, each with both releases."""
    wanted = " or ".join(sorted(releases))
    for entry in entries:
        if entry.type != "file":
            continue
        folder = _FOLDER.match(entry.path)
        built = entry.vermagic.split(" ")[0] if entry.vermagic is not None else None
        if folder and folder[1] not in releases:
            yield f"/{entry.path} is for {folder[1]}, the kernel is {wanted}"
        elif built is not None and built not in releases:
            yield f"/{entry.path} was built for {built}, the kernel is {wanted}"
        elif folder and built is None and module_name(entry.path):
            yield f"/{entry.path} does not say which kernel it was built for: it is no module"


def modules_kernel(assets: Assets, _: Expectation) -> Verdict:
    """`modules.kernel`."""
    releases = {kernel.facts.version for kernel in assets.kernels if kernel.facts.version} or _of_talos(assets)
    if not releases:
        return skip("the kernel's release is not known")
    verdict = Verdict()
    for place, entries in assets.trees():
        verdict.problems += [f"{place}: {line}" for line in release_problems(entries, releases)]
        if count := sum(entry.type == "file" and _FOLDER.match(entry.path) is not None for entry in entries):
            verdict.evidence.append(f"{place}: {count} files for {' or '.join(sorted(releases))}")
    return verdict if verdict.evidence or verdict.problems else skip("there are no modules")


def _of_talos(assets: Assets) -> set[str]:
    """Return the releases that Talos's own modules are for."""
    bases = [assets.images_of(initramfs).get(BASE_IMAGE) for initramfs in assets.distinct(InitramfsFacts)]
    found = (_FOLDER.match(entry.path) for base in bases if base for entry in base.entries if entry.type == "file")
    return {match[1] for match in found if match}


def modules_index(assets: Assets, _: Expectation) -> Verdict:
    """`modules.index`."""
    verdict = Verdict()
    for initramfs in assets.distinct(InitramfsFacts):
        found = [
            (entry, extension.layer.name)
            for extension in assets.extensions(initramfs)
            for entry in (extension.squashfs.entries if extension.squashfs else ())
            if entry.type == "file" and _FOLDER.match(entry.path) and module_name(entry.path)
        ]
        # Those of another kernel are in another list, if in any: `modules.kernel` has them.
        carried = {entry.path: owner for entry, owner in found if not any(release_problems([entry], _of_talos(assets)))}
        if not found:
            continue
        owners = ", ".join(dict.fromkeys(owner for _, owner in found))
        index = assets.images_of(initramfs).get(MODULES_IMAGE)
        listed = _listed(index.texts) if index else {}
        if not any(entry.path.endswith("/modules.dep") for entry in (index.entries if index else ())):
            verdict.problems.append(
                f"{initramfs.path}: {owners} carry modules, but no {MODULES_IMAGE} with a modules.dep "
                "lists them: modprobe would not find them"
            )
        elif index is not None and not listed:
            verdict.unseen.append(f"{initramfs.path}: the modules.dep of {MODULES_IMAGE} is too long to be read")
        else:
            verdict.problems += [
                f"{initramfs.path}: /{path} of {owner} is not in the modules.dep of {MODULES_IMAGE}: modprobe would "
                "not find it"
                for path, owner in carried.items()
                if path.removeprefix("usr/") not in listed
            ]
        verdict.evidence.append(f"{initramfs.path}: modules of {owners}")
    return verdict if verdict.evidence else skip("no extension carries modules")


def _listed(texts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the modules that the lists of an image have, by path from `lib` on, with those that each needs."""
    found: dict[str, tuple[str, ...]] = {}
    for path, text in texts.items():
        folder, _, name = path.removeprefix("usr/").rpartition("/")
        if name == "modules.dep":
            for line in text.splitlines():
                module, separator, needs = line.partition(":")
                if separator:
                    found[f"{folder}/{module.strip()}"] = tuple(f"{folder}/{need}" for need in needs.split())
    return found


class _Modules:
    """What modprobe finds in an initramfs: modules of Talos and of extensions, and what is built into the kernel."""

    def __init__(self, assets: Assets, initramfs: Found[InitramfsFacts]) -> None:
        images = assets.images_of(initramfs)
        self.has_talos = BASE_IMAGE in images
        #: Where each module is, by name.
        self.places: dict[str, str] = {}
        self.entries: list[tuple[str, Entry]] = []
        self._names: set[str] = set()
        self._aliases: list[str] = []
        for image, squashfs in images.items():
            place = f"{initramfs.path}:{image}"
            for entry in squashfs.entries:
                if entry.type == "file" and _FOLDER.match(entry.path) and (name := module_name(entry.path)):
                    self.places.setdefault(name, place)
                    self.entries.append((place, entry))
            for path, text in squashfs.texts.items():
                self._read(path.rpartition("/")[2], text)

    def _read(self, name: str, text: str) -> None:
        if name == "modules.builtin":
            self._names |= {found for line in text.split() if (found := module_name(line))}
        elif name in ("modules.alias", "modules.builtin.alias"):
            words = [line.split() for line in text.splitlines()]
            self._aliases += [_spelled(line[1]) for line in words if len(line) == 3 and line[0] == "alias"]

    def has(self, name: str) -> bool:
        """Say whether modprobe knows a module by name, or by an alias."""
        spelled = _spelled(name)
        return (
            spelled in self.places
            or spelled in self._names
            or any(fnmatch.fnmatchcase(spelled, alias) for alias in self._aliases if alias[:1] != "*")
        )


def _with_talos(assets: Assets, verdict: Verdict) -> Iterator[tuple[Found[InitramfsFacts], _Modules]]:
    """Yield each initramfs with its modules; one without Talos's own is noted as unseen."""
    for initramfs in assets.distinct(InitramfsFacts):
        modules = _Modules(assets, initramfs)
        if modules.has_talos:
            yield initramfs, modules
        else:
            verdict.unseen.append(f"{initramfs.path}: Talos's root file system, with its own modules, is not there")


def modules_planned(assets: Assets, expectation: Expectation) -> Verdict:
    """`modules.planned`."""
    if not expectation.kernel_modules:
        return skip("no plan says which modules the machine configuration loads")
    verdict = Verdict()
    for initramfs, modules in _with_talos(assets, verdict):
        verdict.problems += [
            f"{initramfs.path}: the module {name}, which the machine configuration loads, is in no extension, not in "
            "Talos's root file system and not built into the kernel: the boot would not end"
            for name in expectation.kernel_modules
            if not modules.has(name)
        ]
        verdict.evidence += [
            f"{modules.places.get(_spelled(name), 'built into the kernel')}: {name}"
            for name in expectation.kernel_modules
        ]
    return verdict


def modules_dependencies(assets: Assets, _: Expectation) -> Verdict:
    """`modules.dependencies`."""
    verdict = Verdict()
    for initramfs, modules in _with_talos(assets, verdict):
        for place, entry in modules.entries:
            verdict.problems += [
                f"{place}: /{entry.path} needs the module {need}, which is nowhere in the image: it could not be loaded"
                for need in entry.depends or ()
                if not modules.has(need)
            ]
        if modules.entries:
            verdict.evidence.append(f"{initramfs.path}: {len(modules.entries)} modules")
    return verdict if verdict.evidence or verdict.unseen else skip("there are no modules")
