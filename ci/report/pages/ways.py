"""How a machine gets what was built: the ways that a release's page offers, each with its commands."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.report.pages.uses import unpack, write_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.plan.model import Plan, PlannedOutput
    from ci.verify.reported import Report


@dataclass(frozen=True)
class Step:
    """What to do, and the commands for it."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Way:
    """One way onto a machine."""

    #: Of the choice on the page: netboot, usb, disk, board, upgrade, or a cloud's platform.
    key: str
    title: str
    #: Paths of the files that it takes.
    files: tuple[str, ...]
    steps: tuple[Step, ...]


#: How clouds take a disk image. IMAGE stands for the unpacked file, ARCH for how the cloud writes the architecture.
_CLOUDS: Final[Mapping[str, tuple[Step, ...]]] = {
    "aws": (
        Step(
            "Import the disk as a snapshot, and make an image of it.",
            "aws s3 cp IMAGE s3://BUCKET/IMAGE\n"
            "aws ec2 import-snapshot --disk-container Format=FORMAT,UserBucket='{S3Bucket=BUCKET,S3Key=IMAGE}'\n"
            "aws ec2 describe-import-snapshot-tasks\n"
            "aws ec2 register-image --name talos --architecture ARCH --ena-support --virtualization-type hvm "
            "--boot-mode uefi --root-device-name /dev/xvda "
            "--block-device-mappings 'DeviceName=/dev/xvda,Ebs={SnapshotId=SNAPSHOT,VolumeType=gp3}'",
        ),
    ),
    "oracle": (
        Step(
            "Upload the disk and import it as a custom image, with UEFI and paravirtualised devices.",
            "oci os object put --bucket-name BUCKET --file IMAGE\n"
            "oci compute image import from-object --bucket-name BUCKET --name IMAGE --namespace NAMESPACE "
            "--compartment-id COMPARTMENT --display-name talos --launch-mode PARAVIRTUALIZED --source-image-type QCOW2",
        ),
    ),
    "nocloud": (
        Step(
            "Proxmox VE: make a machine with UEFI and give it the disk. The machine configuration goes into user-data.",
            "qm create 900 --name talos --memory 4096 --bios ovmf --machine ARCH_MACHINE --net0 virtio,bridge=vmbr0\n"
            "qm importdisk 900 IMAGE STORAGE",
        ),
    ),
}
_AWS_ARCH: Final = {"arm64": "arm64", "amd64": "x86_64"}
_MACHINES: Final = {"arm64": "virt", "amd64": "q35"}


def ways(plan: Plan, report: Report, image: str | None) -> Iterator[Way]:
    """Yield the ways that a plan's outputs allow; `image` is the published installer's reference."""
    by_kind: dict[str, list[PlannedOutput]] = {}
    for output in plan.outputs:
        by_kind.setdefault(output.imager_kind, []).append(output)
    kernel, initramfs = by_kind.get("kernel"), by_kind.get("initramfs")
    if kernel and initramfs:
        texts = [output for output in by_kind.get("cmdline", ()) if output.name == "cmdline"]
        yield _netboot(kernel[0].path, initramfs[0].path, _arguments(report), texts)
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
    return Way(f"{iso.platform}.iso", f"Cloud: {iso.platform}, from its ISO image", (iso.path,), (start, _MAINTENANCE))


def _write(path: str) -> Step:
    return Step("Write the image.", f"sudo {write_disk(path)}")


def _netboot(kernel: str, initramfs: str, arguments: str, cmdline: list[PlannedOutput]) -> Way:
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
            Step("This script boots it with iPXE, which your DHCP server hands out as ipxe.efi.", script),
            _MAINTENANCE,
        ),
    )


def _arguments(report: Report) -> str:
    """Return the kernel's arguments: those of the output of their own, else those of any other output."""
    own = [line for path, line in report.cmdlines.items() if path.startswith("cmdline/")]
    return next(iter([*own, *report.cmdlines.values()]), "ARGUMENTS")


def _disk(disk: PlannedOutput, plan: Plan) -> Way:
    if disk.platform == "metal":
        if plan.overlay:
            title = f"Board: {plan.overlay.name}, card or disk"
            return Way("board", title, (disk.path,), (_STICK, _write(disk.path), _MAINTENANCE))
        return Way(
            "disk", "Disk of a machine without another system", (disk.path,), (_STICK, _write(disk.path), _MAINTENANCE)
        )
    unpacked = disk.path
    steps: list[Step] = []
    if command := unpack(disk.path):
        unpacked = disk.path.rpartition(".")[0]
        steps.append(Step("Unpack the image.", f"{command} > {unpacked}"))
    words = {
        "IMAGE": unpacked,
        "FORMAT": unpacked.rpartition(".")[2].upper(),
        "ARCH_MACHINE": _MACHINES[plan.arch.value],
        "ARCH": _AWS_ARCH[plan.arch.value],
    }
    known = _CLOUDS.get(disk.platform, (Step("Import the image as your cloud's guide says."),))
    steps += [Step(step.text, _filled(step.command, words)) for step in known]
    return Way(disk.platform, f"Cloud: {disk.platform}", (disk.path,), tuple(steps))


def _filled(command: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        command = command.replace(word, value)
    return command
