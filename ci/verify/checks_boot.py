"""Checks of what a machine starts: kernel, unified kernel images, command lines, boot loaders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.common.arch import ARCHES
from ci.inspect.models import DiskFacts, MenuFacts
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

_UKI_SECTIONS = (".linux", ".initrd", ".cmdline", ".osrel", ".uname")
_TITLE = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?")
_EMBEDDED = {".linux": "kernel", ".initrd": "initramfs"}


def foreign(machine: str, arch: str | None) -> str | None:
    """Return what is wrong with a machine; where nothing says which one is wanted, any of Talos's is right."""
    if machine == arch or (arch is None and machine in ARCHES):
        return None
    return f"for {machine}, {arch} is wanted" if arch else f"for {machine}, Talos is made for {' and '.join(ARCHES)}"


def kernel_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`kernel.machine`."""
    verdict = Verdict()
    for kernel in assets.kernels:
        facts = kernel.facts
        if problem := foreign(facts.machine, expectation.arch):
            verdict.problems.append(f"{kernel.path} is {problem}")
        elif not facts.efi:
            verdict.problems.append(f"{kernel.path} ({facts.format}) has no EFI header: firmware can't start it")
        else:
            verdict.evidence.append(f"{kernel.path}: {facts.format} for {facts.machine}, {facts.version}")
    return verdict


def _same(found: list[tuple[str, str]], what: str) -> Verdict:
    if len(found) < 2:
        return skip(f"there is only one {what}")
    (first, digest), *others = found
    return Verdict(
        problems=[
            f"{path} ({other[:12]}…) is not {first} ({digest[:12]}…)" for path, other in others if other != digest
        ],
        evidence=[f"{digest[:12]}…: {', '.join(path for path, _ in found)}"],
    )


def kernel_same(assets: Assets, _: Expectation) -> Verdict:
    """`kernel.same`."""
    return _same([(kernel.path, kernel.sha256) for kernel in assets.kernels], "kernel")


def initramfs_same(assets: Assets, _: Expectation) -> Verdict:
    """`initramfs.same`."""
    return _same([(initramfs.path, initramfs.sha256) for initramfs in assets.initramfs], "initramfs")


def uki_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`uki.machine`."""
    return Verdict(
        problems=[
            f"{uki.path} is {problem}"
            for uki in assets.ukis
            if (problem := foreign(uki.facts.machine, expectation.arch))
        ],
        evidence=[f"{uki.path}: {uki.facts.machine}" for uki in assets.ukis],
    )


def uki_sections(assets: Assets, _: Expectation) -> Verdict:
    """`uki.sections`."""
    verdict = Verdict()
    for uki in assets.ukis:
        names = {section.name for section in uki.facts.sections if section.size}
        if missing := [name for name in _UKI_SECTIONS if name not in names]:
            verdict.problems.append(f"{uki.path} lacks {', '.join(missing)}")
        verdict.problems += [
            f"{uki.path}:{node.name} is a {node.kind}, no {_EMBEDDED[node.name]}"
            for node in uki.node.contents
            if node.kind != _EMBEDDED.get(node.name, node.kind)
        ]
        verdict.evidence.append(f"{uki.path}: {' '.join(section.name for section in uki.facts.sections)}")
    return verdict


def uki_version(assets: Assets, expectation: Expectation) -> Verdict:
    """`uki.version`."""
    verdict = Verdict()
    for uki in assets.ukis:
        version = uki.facts.osrel.get("VERSION_ID")
        if not any(section.name == ".osrel" and section.size for section in uki.facts.sections):
            verdict.unseen.append(f"{uki.path} has no .osrel to name a version in")
        elif not version:
            verdict.problems.append(f"{uki.path} names no version: its .osrel has no VERSION_ID")
        elif expectation.talos is not None and version != expectation.talos:
            verdict.problems.append(f"{uki.path} is Talos {version}, {expectation.talos} is wanted")
        verdict.evidence.append(f"{uki.path}: {version}")
    return verdict


def uki_release(assets: Assets, expectation: Expectation) -> Verdict:
    """`uki.release`."""
    if expectation.stand_in or assets.stand_in:
        return skip("the imager names Talos's kernel, stand-ins have another one")
    releases = {kernel.sha256: kernel.facts.version for kernel in assets.kernels if kernel.facts.version}
    verdict = Verdict()
    for uki in assets.ukis:
        release = releases.get(uki.facts.kernel_sha256 or "")
        if release is None:
            verdict.unseen.append(f"{uki.path}: the release of the kernel inside is not known")
        elif not uki.facts.uname:
            verdict.unseen.append(f"{uki.path} has no .uname to name a release in")
        elif uki.facts.uname != release:
            verdict.problems.append(f"{uki.path} names the kernel {uki.facts.uname}, inside is {release}")
        verdict.evidence.append(f"{uki.path}: {release}")
    return verdict


def menu_version(assets: Assets, expectation: Expectation) -> Verdict:
    """`menu.version`: an entry is called `A - Talos v1.13.6`; another one resets the installation."""
    verdict = Verdict()
    disks = tuple(f"{disk.path}:" for disk in assets.of(DiskFacts))
    for menu in assets.of(MenuFacts):
        if not menu.path.startswith(disks):
            continue
        named = [(entry.title, found[0]) for entry in menu.facts.entries if (found := _TITLE.search(entry.title))]
        verdict.problems += [f"{menu.path}: no entry names a version"] if not named else []
        verdict.problems += [
            f"{menu.path}: the entry {title!r} is of another version, {expectation.talos} is wanted"
            for title, version in named
            if expectation.talos is not None and version != expectation.talos
        ]
        verdict.evidence += [f"{menu.path}: {title}" for title, _ in named]
    return verdict if verdict.evidence or verdict.problems else skip("no disk has a menu of GRUB")


def cmdline_arguments(assets: Assets, expectation: Expectation) -> Verdict:
    """`cmdline.arguments`."""
    verdict = Verdict()
    for path, line in assets.cmdlines():
        words = line.split()
        if not any(word.startswith("talos.platform=") for word in words):
            verdict.problems.append(f"{path} has no talos.platform=: Talos does not start without")
        verdict.problems += [f"{path} lacks {wanted}" for wanted in expectation.kernel_args if wanted not in words]
        verdict.problems += [
            f"{path} has {word}, which the plan takes away"
            for word in words
            if word in expectation.removed_args or word.partition("=")[0] in expectation.removed_args
        ]
        verdict.evidence.append(f"{path}: {line}")
    return verdict


def loader_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`boot-loader.machine`."""
    return Verdict(
        problems=[
            f"{loader.path} is {problem}"
            for loader in assets.loaders
            if (problem := foreign(loader.facts.machine, expectation.arch))
        ],
        evidence=[f"{loader.path}: {loader.facts.machine}" for loader in assets.loaders],
    )
