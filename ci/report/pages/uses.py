"""What each file of a build is for, and the command that uses it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch
from ci.common.filenames import CHECKSUMS, PROVENANCE, SBOM, SIGNATURES, STAND_IN
from ci.common.kinds import kind_of_output
from ci.plan.outputs import DiskFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.plan.model import Plan, PlannedOutput


@dataclass(frozen=True)
class Use:
    """What a file is for, and a command; it is run in the folder of the assets."""

    purpose: str
    command: str = ""


#: What takes a packed disk image apart, by the end of the file's name.
UNPACK: Final[Mapping[str, str]] = {
    ".zst": "zstd --decompress --stdout",
    ".xz": "xz --decompress --stdout",
    ".tar.gz": "tar --extract --to-stdout --file",
    ".gz": "gzip --decompress --stdout",
}
_MACHINES: Final = {Arch.ARM64: "aarch64", Arch.AMD64: "x86_64"}


def uses(plan: Plan, tag: str) -> dict[str, Use]:
    """Return what the files are for, by path; `tag` is that of the plan's images."""
    found = {output.path: _use(output, tag, plan.arch) for output in plan.outputs}
    beside = {
        CHECKSUMS: Use("the SHA-256 of every file", f"sha256sum --check {CHECKSUMS}"),
        SBOM: Use("what is inside, part by part, as SPDX", f"trivy sbom {SBOM}"),
        PROVENANCE: Use("which inputs became which files (in-toto, SLSA)", f"jq .predicate {PROVENANCE}"),
        SIGNATURES: Use("who signed which input"),
        STAND_IN: Use("says that these assets are stand-ins"),
    }
    return {**beside, **found}


def _use(output: PlannedOutput, tag: str, arch: Arch) -> Use:
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
            return _of_disk(output, arch)


def _of_disk(output: PlannedOutput, arch: Arch) -> Use:
    if output.platform != "metal":
        command = unpack_command(output.path)
        return Use(f"disk image for machines of the platform {output.platform}", command)
    if output.disk_format is DiskFormat.RAW:
        return Use("disk image for bare metal: written to the disk as it is", f"sudo {write_disk(output.path)}")
    return Use("disk image for virtual machines", give_command(output, arch))


def give_command(output: PlannedOutput, arch: Arch) -> str:
    """Return the commands that give a disk image to a virtual machine; unpacked first where it is packed."""
    path = unpacked(output.path)
    commands = [unpack_command(output.path)]
    if output.disk_format in (DiskFormat.QCOW2, DiskFormat.COMPRESSED_QCOW2):
        commands.append(
            f"virt-install --name node --arch {_MACHINES[arch]} --memory 4096 --vcpus 2 --boot uefi --osinfo generic "
            f"--import --disk {path}"
        )
    return "\n".join(command for command in commands if command)


def unpacked(path: str) -> str:
    """Return the path of a packed disk image without its packing."""
    return next((path.removesuffix(end) for end in UNPACK if path.endswith(end)), path)


def unpack_command(path: str) -> str:
    """Return the command that unpacks a disk image next to it; empty for one that is not packed."""
    return f"{_unpack(path)} > {unpacked(path)}" if _unpack(path) else ""


def _unpack(path: str) -> str:
    """Return the command that writes a packed disk image to standard output; empty for one that is not packed."""
    return next((f"{command} {path}" for end, command in UNPACK.items() if path.endswith(end)), "")


def write_disk(path: str) -> str:
    """Return the command, for root, that writes an image to a disk; packed ones are unpacked on the way."""
    write = "dd of=/dev/DISK bs=4M conv=fsync status=progress"
    return f"sh -c '{_unpack(path)} | {write}'" if _unpack(path) else f"{write} if={path}"
