"""What each file of a build is for, and the command that uses it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.filenames import CHECKSUMS, PROVENANCE, SBOM, SIGNATURES, STAND_IN
from ci.common.kinds import kind_of_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.plan.model import Plan, PlannedOutput


@dataclass(frozen=True)
class Use:
    """What a file is for, and a command; it is run in the folder of the assets."""

    purpose: str
    command: str = ""


#: What takes a packed disk image apart, by the end of the file's name.
UNPACK: Final[Mapping[str, str]] = {".zst": "zstd --decompress --stdout", ".xz": "xz --decompress --stdout"}


def uses(plan: Plan, tag: str) -> dict[str, Use]:
    """Return what the files are for, by path; `tag` is that of the plan's images."""
    found = {path: use for output in plan.outputs for path, use in _of_output(output, tag)}
    beside = {
        CHECKSUMS: Use("the SHA-256 of every file", f"sha256sum --check {CHECKSUMS}"),
        SBOM: Use("what is inside, part by part, as SPDX", f"trivy sbom {SBOM}"),
        PROVENANCE: Use("which inputs became which files (in-toto, SLSA)", f"jq .predicate {PROVENANCE}"),
        SIGNATURES: Use("who signed which input"),
        STAND_IN: Use("says that these assets are stand-ins"),
    }
    return {**beside, **found}


def _of_output(output: PlannedOutput, tag: str) -> Iterator[tuple[str, Use]]:
    yield output.path, _use(output, tag)


def _use(output: PlannedOutput, tag: str) -> Use:
    path = output.path
    match output.imager_kind:
        case "kernel":
            return Use(
                "Linux, for netboot servers: served together with the initramfs",
                f"cp {path} /var/lib/matchbox/assets/{posixpath.basename(path)}",
            )
        case "initramfs":
            return Use(
                "Talos and all extensions, for netboot servers",
                f"cp {path} /var/lib/matchbox/assets/{posixpath.basename(path)}",
            )
        case "cmdline" if kind_of_output(output.name).needs_base_url:
            return Use("script of iPXE: boots kernel and initramfs from the web server that it names", f"cat {path}")
        case "cmdline":
            return Use("the kernel's arguments, which a netboot server hands on", f"cat {path}")
        case "uki":
            return Use("kernel, initramfs and arguments as one EFI program", f"cp {path} /boot/efi/EFI/Linux/")
        case "installer":
            return Use(
                "the installer image: what a node installs, and upgrades to",
                f"crane push {path} REGISTRY/talos:{tag}\ntalosctl upgrade --nodes NODE --image REGISTRY/talos:{tag}",
            )
        case "iso":
            return Use("bootable, for USB sticks and virtual machines", f"sudo {write_disk(path)}")
        case _:
            return _of_disk(output)


def _of_disk(output: PlannedOutput) -> Use:
    if output.platform == "metal":
        return Use("disk image for bare metal: written to the disk as it is", f"sudo {write_disk(output.path)}")
    raw = f"{output.platform}.raw"
    command = f"{unpack(output.path)} > {raw}" if unpack(output.path) else ""
    return Use(f"disk image for machines of the platform {output.platform}", command)


def unpack(path: str) -> str:
    """Return the command that writes a packed disk image to standard output; empty for one that is not packed."""
    return next((f"{command} {path}" for end, command in UNPACK.items() if path.endswith(end)), "")


def write_disk(path: str) -> str:
    """Return the command, for root, that writes an image to a disk; packed ones are unpacked on the way."""
    write = "dd of=/dev/DISK bs=4M conv=fsync status=progress"
    unpacked = unpack(path)
    return f"sh -c '{unpacked} | {write}'" if unpacked else f"{write} if={path}"
