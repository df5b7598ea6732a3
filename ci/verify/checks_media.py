"""Checks of ISO and disk images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.inspect.models import DiskFacts, IsoFacts
from ci.verify.model import Part, Verdict

if TYPE_CHECKING:
    from ci.inspect.models import Entry, Inspection
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

#: Where firmware looks for a boot loader on media that it does not know (UEFI specification, section 3.5.1.1).
_REMOVABLE = {"arm64": "efi/boot/bootaa64.efi", "amd64": "efi/boot/bootx64.efi"}
#: Where systemd-boot looks for unified kernel images.
_UKI_FOLDER = "efi/linux/"


def media_bootable(assets: Assets, expectation: Expectation) -> Verdict:
    """`media.bootable`."""
    verdict = Verdict()
    wanted = [_REMOVABLE[expectation.arch]] if expectation.arch else list(_REMOVABLE.values())
    for medium in assets.media:
        files = {entry.path.lower(): entry.path for entry in _entries(medium.facts) if entry.type == "file"}
        inside = {node.name.lower(): node for node in medium.node.contents}
        kinds = {path: inside[path].kind if path in inside else "file" for path in wanted if path in files}
        if not kinds:
            verdict.problems.append(f"{medium.path} has no boot loader at /{' or /'.join(wanted)}")
        verdict.problems += [
            f"{medium.path}: /{files[path]} is a {kind}, no boot loader"
            for path, kind in kinds.items()
            if kind not in ("efi", "uki")
        ]
        if "uki" not in kinds.values() and not _has_uki(inside) and not _has_kernel(medium.facts, inside):
            if places := assets.unread((Part.KERNEL,)):
                verdict.unseen += places
            else:
                verdict.problems.append(f"{medium.path} holds no unified kernel image")
        verdict.evidence.append(f"{medium.path}: {', '.join(files.values())}")
    return verdict


def _entries(facts: IsoFacts | DiskFacts) -> list[Entry]:
    return list(facts.entries if isinstance(facts, IsoFacts) else [e for p in facts.partitions for e in p.entries])


def _has_uki(inside: dict[str, Inspection]) -> bool:
    return any(node.kind == "uki" and path.startswith(_UKI_FOLDER) for path, node in inside.items())


def _has_kernel(facts: IsoFacts | DiskFacts, inside: dict[str, Inspection]) -> bool:
    """Say whether there are a kernel and an initramfs for GRUB to start."""
    kinds = {node.kind for node in inside.values()}
    if isinstance(facts, IsoFacts) and "boot/vmlinuz" in {entry.path.lower() for entry in facts.entries}:
        return True
    return {"kernel", "initramfs"} <= kinds


def disk_partitions(assets: Assets, _: Expectation) -> Verdict:
    """`disk.partitions`."""
    verdict = Verdict()
    for disk in assets.of(DiskFacts):
        names = [partition.name for partition in disk.facts.partitions]
        if not any(partition.type == "esp" for partition in disk.facts.partitions):
            verdict.problems.append(f"{disk.path} has no EFI system partition")
        if "META" not in names:
            verdict.problems.append(f"{disk.path} has no META partition, only {', '.join(names)}")
        verdict.evidence.append(f"{disk.path}: {', '.join(names)}")
    return verdict
