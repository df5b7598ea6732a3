"""The machines that assets are booted in: QEMU's command lines, as plain lists.

A machine has what Talos asks for at least (memory, a network with DHCP, a source of random numbers) and its console on
the serial port. Its network is QEMU's own and leads nowhere, unless it boots from there. A machine configuration is on
a separate drive, and such a machine has the disk of an installed one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.boot.config_drive import LABEL
from ci.boot.configuration import ARGUMENT, without_configuration
from ci.boot.ways import Way
from ci.common.arch import Arch

if TYPE_CHECKING:
    from ci.boot.model import BootRequest


@dataclass(frozen=True)
class Machine:
    """What differs from architecture to architecture."""

    program: str
    #: Debian packages with QEMU and its UEFI firmware.
    packages: tuple[str, ...]
    board: str
    #: In software emulation. Talos for amd64 needs x86-64-v2; `max` of arm64 would spend its time on pointer
    #: authentication, and the boards that people have are no newer than this.
    cpu: str
    firmware: str
    #: Where removable media have their boot loader.
    loader: str
    #: Where the kernel's console is, and how it gets one before its drivers are there.
    console: tuple[str, ...]
    #: The program that boots over the network.
    ipxe: str


MACHINES: Final = {
    Arch.ARM64: Machine(
        program="qemu-system-aarch64",
        packages=("qemu-system-arm", "qemu-efi-aarch64"),
        board="virt",
        cpu="cortex-a72",
        firmware="/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        loader="EFI/BOOT/BOOTAA64.EFI",
        console=("console=ttyAMA0", "earlycon"),
        ipxe="/usr/lib/ipxe/ipxe-arm64.efi",
    ),
    Arch.AMD64: Machine(
        program="qemu-system-x86_64",
        packages=("qemu-system-x86", "ovmf"),
        board="q35",
        cpu="max",
        firmware="/usr/share/ovmf/OVMF.fd",
        loader="EFI/BOOT/BOOTX64.EFI",
        console=("console=ttyS0", "earlycon=uart8250,io,0x3f8"),
        ipxe="/usr/lib/ipxe/ipxe-amd64.efi",
    ),
}

#: What iPXE looks for first, in its program's folder.
AUTOEXEC: Final = "autoexec.ipxe"
#: Where a machine finds the network's own services, and this container's.
HOST: Final = "10.0.2.2"
MATCHBOX_PORT: Final = 8080
AUTOEXEC_TEXT: Final = f"#!ipxe\ndhcp\nchain http://{HOST}:{MATCHBOX_PORT}/boot.ipxe\n"

_DISK: Final = ("-device", "virtio-blk-pci,drive=disk,bootindex=0")


@dataclass(frozen=True)
class Media:
    """The files that a machine boots from, by absolute path."""

    kernel: str = ""
    initramfs: str = ""
    #: A folder that becomes an EFI system partition.
    esp: str = ""
    #: An ISO or a disk image.
    image: str = ""
    #: Bytes in a sector of the disk.
    sector: int = 512
    #: What QEMU calls the image's format.
    form: str = "raw"
    #: The drive with the machine configuration.
    config: str = ""
    #: The disk of an installed machine, where it boots from something else.
    system: str = ""


def packages(request: BootRequest) -> tuple[str, ...]:
    """Return the Debian packages that a boot needs."""
    extra = ("ipxe",) if request.way is Way.NETBOOT else ()
    return (*MACHINES[request.arch].packages, *extra)


def version_command(arch: Arch) -> list[str]:
    """Print QEMU's version."""
    return [MACHINES[arch].program, "--version"]


def qemu(request: BootRequest, media: Media, *, kvm: bool) -> list[str]:
    """Boot a machine; its console is QEMU's standard output, and a restart ends it."""
    machine = MACHINES[request.arch]
    return [
        machine.program,
        *("-machine", machine.board),
        *_processor(machine, kvm=kvm),
        *("-smp", str(request.cpus), "-m", str(request.memory)),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-device", "virtio-rng-pci"),
        *_medium(request, machine, media),
        *_configured(media),
        *_network(request),
    ]


def _processor(machine: Machine, *, kvm: bool) -> list[str]:
    # QEMU takes the second one where it may not use the host's KVM.
    return ["-accel", "kvm", "-accel", "tcg", "-cpu", "max"] if kvm else ["-accel", "tcg", "-cpu", machine.cpu]


def _medium(request: BootRequest, machine: Machine, media: Media) -> list[str]:
    if request.way is Way.KERNEL:
        cmdline = without_configuration(request.cmdline) if request.machine_config else request.cmdline
        arguments = " ".join([cmdline, *further_arguments(request)])
        return ["-kernel", media.kernel, "-initrd", media.initramfs, "-append", arguments]
    firmware = ["-bios", machine.firmware, *_stub_arguments(request)]
    if request.way in (Way.UKI, Way.NETBOOT):
        return [*firmware, *_drive(f"fat:{media.esp}", "readonly=on"), *_DISK]
    if request.way is Way.ISO:
        scsi = ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=disk,bootindex=0"]
        return [*firmware, *_drive(media.image, "readonly=on", "media=cdrom"), *scsi]
    if request.way is Way.METAL:
        # Talos writes to the disk that it boots from. QEMU keeps what it writes in a temporary file.
        return [*firmware, *_drive(media.image, "snapshot=on", form=media.form), *_disk(media.sector)]
    return firmware


def _disk(sector: int) -> tuple[str, ...]:
    """Return the device of a disk image; with sectors of another size, firmware would not find its partitions."""
    name, device = _DISK
    return _DISK if sector == 512 else (name, f"{device},logical_block_size={sector},physical_block_size={sector}")


def _configured(media: Media) -> list[str]:
    """Return the drives of a machine that gets a machine configuration, after the one that it boots from."""
    drives: list[str] = []
    for name, file, *options in (("system", media.system), ("config", media.config, "readonly=on")):
        if file:
            value = ",".join([f"file={_escaped(file)}", "format=raw", "if=none", f"id={name}", *options])
            drives += ["-drive", value, "-device", f"virtio-blk-pci,drive={name}"]
    return drives


def _drive(file: str, *options: str, form: str = "raw") -> list[str]:
    return ["-drive", ",".join([f"file={_escaped(file)}", f"format={form}", "if=none", "id=disk", *options])]


def further_arguments(request: BootRequest) -> tuple[str, ...]:
    """Return the kernel arguments that are added to those of the assets.

    A console on the serial port first: Talos for amd64 has none among its own since v1.8.
    """
    configuration = (f"{ARGUMENT}={LABEL}",) if request.machine_config else ()
    return (*MACHINES[request.arch].console, *configuration, *request.arguments)


def _stub_arguments(request: BootRequest) -> list[str]:
    # systemd's stub adds them to those in the image, as long as secure boot is off.
    arguments = _escaped(" ".join(further_arguments(request)))
    return ["-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={arguments}"]


def _network(request: BootRequest) -> list[str]:
    # The machine reaches this container only where it boots from there, and nothing else.
    net = "user,id=net" if request.way is Way.NETBOOT else "user,id=net,restrict=on"
    return ["-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile="]


def _escaped(text: str) -> str:
    """Return a value for one of QEMU's options, which commas separate."""
    return text.replace(",", ",,")
