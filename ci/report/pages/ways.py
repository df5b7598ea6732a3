"""How a machine gets what was built: the ways that a release's page offers, each with its commands."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch
from ci.plan.outputs import DiskFormat
from ci.report.pages.clouds import Step, import_steps, title_of
from ci.report.pages.uses import give_command, write_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.plan.model import Plan, PlannedOutput
    from ci.verify.reported import Report


@dataclass(frozen=True)
class Way:
    """One way onto a machine."""

    #: Of the choice on the page: netboot, usb, disk, board, upgrade, or a cloud's platform.
    key: str
    title: str
    #: Paths of the files that it takes.
    files: tuple[str, ...]
    steps: tuple[Step, ...]


def ways(plan: Plan, report: Report, image: str | None, key: str | None = None) -> Iterator[Way]:
    """Yield the ways that a plan's outputs allow.

    `image` is the published installer's reference, `key` the file with the public key of who signed it.
    """
    by_kind: dict[str, list[PlannedOutput]] = {}
    for output in plan.outputs:
        by_kind.setdefault(output.imager_kind, []).append(output)
    kernel, initramfs = by_kind.get("kernel"), by_kind.get("initramfs")
    if kernel and initramfs:
        texts = [output for output in by_kind.get("cmdline", ()) if output.name == "cmdline"]
        yield _netboot(kernel[0].path, initramfs[0].path, _arguments(report), texts, plan.arch)
    for iso in by_kind.get("iso", ()):
        yield _medium(iso)
    for disk in by_kind.get("image", ()):
        yield _disk(disk, plan)
    if image:
        check = "talosctl version --nodes NODE\ntalosctl get extensions --nodes NODE"
        yield Way(
            "upgrade",
            "Upgrade a node that runs Talos",
            (),
            (
                *((Step("Check who signed the installer image.", verify_command(image, key)),) if key else ()),
                Step(
                    "The node pulls the installer image from the registry.",
                    f"talosctl upgrade --nodes NODE --image {image}",
                ),
                Step("After the restart it has the new version and these extensions.", check),
            ),
        )
    elif installer := by_kind.get("installer"):
        path = installer[0].path
        pushed = f"crane push {path} REGISTRY/talos:TAG\ntalosctl upgrade --nodes NODE --image REGISTRY/talos:TAG"
        yield Way(
            "upgrade",
            "Upgrade a node that runs Talos",
            (path,),
            (Step("Push the image to a registry that your nodes reach.", pushed),),
        )


def verify_command(image: str, key: str) -> str:
    """Return the command that checks an image's signature."""
    return f"cosign verify --key {key} --insecure-ignore-tlog {image}"


_STICK: Final = Step("Find the stick's device: everything on it is overwritten.", "lsblk")
_MAINTENANCE: Final = Step(
    "Start the machine from it. Talos waits in maintenance mode for its machine configuration.",
    "talosctl get disks --insecure --nodes NODE",
)


def _medium(iso: PlannedOutput) -> Way:
    if iso.platform == "metal":
        steps = (_STICK, _write(iso.path), _MAINTENANCE)
        return Way("usb", "USB stick, or a virtual machine's CD", (iso.path,), steps)
    start = Step("Upload the image as your cloud's guide says, and start a machine from it.")
    return Way(
        f"{iso.platform}.iso",
        f"Cloud: {title_of(iso.platform)}, from its ISO image",
        (iso.path,),
        (start, _MAINTENANCE),
    )


def _write(path: str) -> Step:
    return Step("Write the image.", f"sudo {write_disk(path)}")


#: Programs of iPXE, as its packages name them.
_LOADERS: Final = {Arch.ARM64: "ipxe-arm64.efi", Arch.AMD64: "ipxe.efi"}


def _netboot(kernel: str, initramfs: str, arguments: str, cmdline: list[PlannedOutput], arch: Arch) -> Way:
    name = posixpath.basename(initramfs)
    script = (
        "#!ipxe\n"
        f"kernel http://SERVER:8080/{kernel} initrd={name} {arguments}\n"
        f"initrd --name {name} http://SERVER:8080/{initramfs}\n"
        "boot"
    )
    files = (kernel, initramfs, *(output.path for output in cmdline))
    return Way(
        "netboot",
        "Netboot",
        files,
        (
            Step("Serve the folder; Matchbox, nginx or any other server will do.", "python3 -m http.server 8080"),
            Step(f"This script boots it with iPXE, which your DHCP server hands out as {_LOADERS[arch]}.", script),
            _MAINTENANCE,
        ),
    )


def _arguments(report: Report) -> str:
    """Return the kernel's arguments: those of the output of their own, else those of any other output."""
    own = [line for path, line in report.cmdlines.items() if path.startswith("cmdline/")]
    return next(iter([*own, *report.cmdlines.values()]), "ARGUMENTS")


def _disk(disk: PlannedOutput, plan: Plan) -> Way:
    if disk.platform == "metal" and disk.disk_format is not DiskFormat.RAW:
        give = Step("Give the disk to a virtual machine that starts by UEFI.", give_command(disk, plan.arch))
        return Way("vm", "Disk of a virtual machine", (disk.path,), (give, _MAINTENANCE))
    if disk.platform == "metal":
        if plan.overlay:
            title = f"Board: {plan.overlay.name}, card or disk"
            return Way("board", title, (disk.path,), (_STICK, _write(disk.path), _MAINTENANCE))
        return Way(
            "disk", "Disk of a machine without another system", (disk.path,), (_STICK, _write(disk.path), _MAINTENANCE)
        )
    steps = tuple(import_steps(disk, plan.arch))
    return Way(disk.platform, f"Cloud: {title_of(disk.platform)}", (disk.path,), steps)
