"""Checks of what a machine starts: kernel, unified kernel images, boot loaders, installers, media."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.inspect.models import DiskFacts, IsoFacts
from ci.plan.quirks import INSTALL_FOLDER, install_folder
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.inspect.models import ImageFacts
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets, Found

#: Where firmware looks for a boot loader on media that it does not know (UEFI specification, section 3.5.1.1).
_REMOVABLE = {"arm64": "efi/boot/bootaa64.efi", "amd64": "efi/boot/bootx64.efi"}
_UKI_SECTIONS = (".linux", ".initrd", ".cmdline", ".osrel", ".uname")
_EMBEDDED = {".linux": "kernel", ".initrd": "initramfs"}
_VERSION_LABEL = "alpha.talos.dev/version"


def kernel_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`kernel.machine`."""
    if not assets.kernels:
        return skip("there is no kernel")
    verdict = Verdict()
    for kernel in assets.kernels:
        facts = kernel.facts
        if facts.machine != expectation.arch:
            verdict.problems.append(f"{kernel.path} is for {facts.machine}, {expectation.arch} is wanted")
        elif not facts.efi:
            verdict.problems.append(f"{kernel.path} ({facts.format}) has no EFI header: firmware can't start it")
        else:
            verdict.evidence.append(f"{kernel.path}: {facts.format} for {facts.machine}, {facts.version}")
    return verdict


def _same(found: list[tuple[str, str]], what: str) -> Verdict:
    if len(found) < 2:
        return skip(f"there is only one {what}" if found else f"there is no {what}")
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
    if not assets.ukis:
        return skip("there is no unified kernel image")
    return Verdict(
        problems=[
            f"{uki.path} is for {uki.facts.machine}, {expectation.arch} is wanted"
            for uki in assets.ukis
            if uki.facts.machine != expectation.arch
        ],
        evidence=[f"{uki.path}: {uki.facts.machine}" for uki in assets.ukis],
    )


def uki_sections(assets: Assets, _: Expectation) -> Verdict:
    """`uki.sections`."""
    if not assets.ukis:
        return skip("there is no unified kernel image")
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
    stated = [(uki.path, version) for uki in assets.ukis if (version := uki.facts.osrel.get("VERSION_ID"))]
    if not stated or expectation.talos is None:
        return skip("no unified kernel image names a version")
    return Verdict(
        problems=[
            f"{path} is Talos {version}, {expectation.talos} is wanted"
            for path, version in stated
            if version != expectation.talos
        ],
        evidence=[f"{path}: {version}" for path, version in stated],
    )


def uki_release(assets: Assets, expectation: Expectation) -> Verdict:
    """`uki.release`."""
    if expectation.stand_in or assets.stand_in:
        return skip("the imager names Talos's kernel, stand-ins have another one")
    releases = {kernel.sha256: kernel.facts.version for kernel in assets.kernels if kernel.facts.version}
    verdict = Verdict()
    for uki in assets.ukis:
        release = releases.get(uki.facts.kernel_sha256 or "")
        if release is None or uki.facts.uname is None:
            continue
        if uki.facts.uname != release:
            verdict.problems.append(f"{uki.path} names the kernel {uki.facts.uname}, inside is {release}")
        verdict.evidence.append(f"{uki.path}: {release}")
    return verdict if verdict.evidence else skip("no unified kernel image with a kernel of known release")


def cmdline_arguments(assets: Assets, expectation: Expectation) -> Verdict:
    """`cmdline.arguments`."""
    lines = assets.cmdlines()
    if not lines:
        return skip("there is no command line")
    verdict = Verdict()
    for path, line in lines:
        words = line.split()
        if not any(word.startswith("talos.platform=") for word in words):
            verdict.problems.append(f"{path} has no talos.platform=: Talos does not start without")
        verdict.problems += [f"{path} lacks {wanted}" for wanted in expectation.kernel_args if wanted not in words]
        verdict.evidence.append(f"{path}: {line}")
    return verdict


def loader_machine(assets: Assets, expectation: Expectation) -> Verdict:
    """`boot-loader.machine`."""
    if not assets.loaders:
        return skip("there is no boot loader")
    return Verdict(
        problems=[
            f"{loader.path} is for {loader.facts.machine}, {expectation.arch} is wanted"
            for loader in assets.loaders
            if loader.facts.machine != expectation.arch
        ],
        evidence=[f"{loader.path}: {loader.facts.machine}" for loader in assets.loaders],
    )


def _installers(assets: Assets) -> list[Found[ImageFacts]]:
    return [image for image in assets.images if any(e.path.startswith(INSTALL_FOLDER) for e in image.facts.entries)]


def installer_architecture(assets: Assets, expectation: Expectation) -> Verdict:
    """`installer.architecture`."""
    if not assets.images:
        return skip("there is no installer image")
    return Verdict(
        problems=[
            f"{image.path} is for {image.facts.os}/{image.facts.architecture}, linux/{expectation.arch} is wanted"
            for image in assets.images
            if (image.facts.os, image.facts.architecture) != ("linux", expectation.arch)
        ],
        evidence=[f"{image.path}: {image.facts.os}/{image.facts.architecture}" for image in assets.images],
    )


def installer_boot_files(assets: Assets, expectation: Expectation) -> Verdict:
    """`installer.boot-files`."""
    if not assets.images:
        return skip("there is no installer image")
    verdict = Verdict()
    folder = install_folder(expectation.arch or "")
    for image in assets.images:
        inside = {node.name: node.kind for node in image.node.contents}
        names = {entry.path for entry in image.facts.entries if entry.type == "file"}
        wanted = {f"{folder}vmlinuz.efi": "uki", f"{folder}systemd-boot.efi": "efi"}
        for path, kind in wanted.items():
            if path not in names:
                verdict.problems.append(f"{image.path} lacks /{path}")
            elif inside.get(path) != kind:
                verdict.problems.append(f"{image.path}: /{path} is a {inside.get(path, 'file')}, no {kind}")
        foreign = [name for name in sorted(names) if name.startswith(INSTALL_FOLDER) and not name.startswith(folder)]
        verdict.problems += [f"{image.path} holds /{name}, of another architecture" for name in foreign]
        verdict.evidence += [f"{image.path}: /{name}" for name in sorted(names) if name.startswith(folder)]
    return verdict


def installer_entrypoint(assets: Assets, _: Expectation) -> Verdict:
    """`installer.entrypoint`."""
    if not _installers(assets):
        return skip("there is no installer image")
    verdict = Verdict()
    for image in _installers(assets):
        command = image.facts.entrypoint[0] if image.facts.entrypoint else None
        if command is None:
            verdict.problems.append(f"{image.path} has no entrypoint")
        elif not _exists(image.facts, command):
            verdict.problems.append(f"{image.path}: its entrypoint {command} is not in the image")
        else:
            verdict.evidence.append(f"{image.path}: {command}")
    return verdict


def _exists(facts: ImageFacts, path: str) -> bool:
    """Whether a path is a file in an image, links on the way followed."""
    entries = {entry.path: entry for entry in facts.entries}
    parts, done = path.strip("/").split("/"), ""
    for _ in range(100):
        if not parts:
            return done in entries and entries[done].type in ("file", "hardlink")
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}" if done else part
        entry = entries.get(here)
        if entry is not None and entry.type == "symlink" and entry.target:
            parts = entry.target.split("/") + parts
            done = "" if entry.target.startswith("/") else done
        else:
            done = here
    return False


def installer_digests(assets: Assets, _: Expectation) -> Verdict:
    """`installer.digests`."""
    if not assets.images:
        return skip("there is no container image")
    verdict = Verdict()
    for image in assets.images:
        facts = image.facts
        actual = {layer.blob: layer.sha256 for layer in facts.layers}
        for blob, claimed in facts.claimed.items():
            digest = actual.get(blob, facts.config_sha256)
            if digest != claimed:
                verdict.problems.append(f"{image.path}: the blob {blob} has the digest {digest}")
        diffs = tuple(layer.diff_id for layer in facts.layers)
        if diffs != facts.diff_ids:
            verdict.problems.append(f"{image.path}: the layers are {diffs}, the configuration claims {facts.diff_ids}")
        verdict.evidence.append(f"{image.path}: {len(facts.layers)} layers")
    return verdict


def installer_version(assets: Assets, expectation: Expectation) -> Verdict:
    """`installer.version`."""
    stated = [(image.path, image.facts.labels.get(_VERSION_LABEL)) for image in _installers(assets)]
    if not stated or expectation.talos is None:
        return skip("there is no installer image" if not stated else "the Talos version is not known")
    return Verdict(
        problems=[
            f"{path} has the label {_VERSION_LABEL}={version}, {expectation.talos} is wanted"
            for path, version in stated
            if version != expectation.talos
        ],
        evidence=[f"{path}: {version}" for path, version in stated],
    )


def media_bootable(assets: Assets, expectation: Expectation) -> Verdict:
    """`media.bootable`."""
    if not assets.media:
        return skip("there is no ISO and no disk image")
    verdict = Verdict()
    wanted = _REMOVABLE.get(expectation.arch or "", "efi/boot/")
    for medium in assets.media:
        facts = medium.facts
        entries = facts.entries if isinstance(facts, IsoFacts) else [e for p in facts.partitions for e in p.entries]
        names = {entry.path.lower(): entry.path for entry in entries if entry.type == "file"}
        if not any(name.startswith(wanted) for name in names):
            verdict.problems.append(f"{medium.path} has no boot loader at /{wanted}")
        has_uki = any(node.kind == "uki" for node in medium.node.contents)
        if not has_uki and not _starts_with_grub(facts):
            verdict.problems.append(f"{medium.path} holds no unified kernel image")
        verdict.evidence.append(f"{medium.path}: {', '.join(names.values())}")
    return verdict


def _starts_with_grub(facts: IsoFacts | DiskFacts) -> bool:
    """Whether kernel and initramfs lie where GRUB finds them; the partition of disks is XFS, which is not read."""
    if isinstance(facts, IsoFacts):
        return any(entry.path.lower() == "boot/vmlinuz" for entry in facts.entries)
    return any(partition.name == "BOOT" for partition in facts.partitions)


def disk_partitions(assets: Assets, _: Expectation) -> Verdict:
    """`disk.partitions`."""
    disks = assets.of(DiskFacts)
    if not disks:
        return skip("there is no disk image")
    verdict = Verdict()
    for disk in disks:
        names = [partition.name for partition in disk.facts.partitions]
        if not any(partition.type == "esp" for partition in disk.facts.partitions):
            verdict.problems.append(f"{disk.path} has no EFI system partition")
        if "META" not in names:
            verdict.problems.append(f"{disk.path} has no META partition, only {', '.join(names)}")
        verdict.evidence.append(f"{disk.path}: {', '.join(names)}")
    return verdict
