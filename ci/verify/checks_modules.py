"""Checks of kernel modules: those of extensions, and those that the machine configuration loads."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from ci.common.filenames import BASE_IMAGE, MODULES_IMAGE
from ci.inspect.models import InitramfsFacts
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.inspect.models import Entry
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

_MODULES = re.compile(r"(?:usr/)?lib/modules/([^/]+)/")


def _module_release(entry: Entry) -> str | None:
    found = _MODULES.match(entry.path)
    return found[1] if found and entry.type == "file" else None


def modules_kernel(assets: Assets, _: Expectation) -> Verdict:
    """`modules.kernel`."""
    releases = {kernel.facts.version for kernel in assets.kernels if kernel.facts.version} or _of_talos(assets)
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


def _of_talos(assets: Assets) -> set[str]:
    """Return the releases that Talos's own modules are for."""
    bases = [assets.images_of(initramfs).get(BASE_IMAGE) for initramfs in assets.distinct(InitramfsFacts)]
    return {release for base in bases if base for entry in base.entries if (release := _module_release(entry))}


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
