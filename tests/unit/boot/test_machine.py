"""QEMU's command lines, whole."""

from __future__ import annotations

import pytest

from ci.boot.machine import AUTOEXEC_TEXT, Media, packages, qemu, version_command
from ci.boot.model import stages_of
from ci.boot.ways import WAYS, Way, parse_way, parse_ways
from ci.common.arch import Arch
from ci.common.errors import OutputError
from tests.unit.boot.requests import request

ARM64 = [
    *("qemu-system-aarch64", "-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a72", "-smp", "2", "-m", "2048"),
    *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci"),
]
AMD64 = [
    *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"),
    *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci"),
]
ALONE = ["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="]
FIRMWARE = [
    *("-bios", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
    *("-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyAMA0 earlycon"),
]
DISK = ["-device", "virtio-blk-pci,drive=disk,bootindex=0"]


def test_the_kernel_is_started_with_the_assets_arguments_and_a_console() -> None:
    command = qemu(request(cmdline="talos.platform=metal console=tty0"), Media(kernel="/k", initramfs="/i"), kvm=False)
    arguments = "talos.platform=metal console=tty0 console=ttyAMA0 earlycon"
    assert command == [*ARM64, "-kernel", "/k", "-initrd", "/i", "-append", arguments, *ALONE]


def test_amd64_has_its_own_machine_console_and_firmware() -> None:
    kernel = qemu(request(arch="amd64"), Media(kernel="/k", initramfs="/i"), kvm=False)
    arguments = "talos.platform=metal console=ttyS0 earlycon=uart8250,io,0x3f8"
    assert kernel == [*AMD64, "-kernel", "/k", "-initrd", "/i", "-append", arguments, *ALONE]
    uki = qemu(request(Way.UKI, arch="amd64"), Media(esp="/esp"), kvm=False)
    stub = "type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0 earlycon=uart8250,,io,,0x3f8"
    assert uki[len(AMD64) :][:4] == ["-bios", "/usr/share/ovmf/OVMF.fd", "-smbios", stub]


def test_the_uki_is_on_an_efi_system_partition() -> None:
    drive = ["-drive", "file=fat:/w/esp,format=raw,if=none,id=disk,readonly=on"]
    assert qemu(request(Way.UKI), Media(esp="/w/esp"), kvm=False) == [*ARM64, *FIRMWARE, *drive, *DISK, *ALONE]


def test_the_iso_is_a_cd() -> None:
    drive = ["-drive", "file=/a.iso,format=raw,if=none,id=disk,readonly=on,media=cdrom"]
    scsi = ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=disk,bootindex=0"]
    assert qemu(request(Way.ISO), Media(image="/a.iso"), kvm=False) == [*ARM64, *FIRMWARE, *drive, *scsi, *ALONE]


def test_the_disk_image_stays_as_it_is() -> None:
    drive = ["-drive", "file=/with,,comma.raw,format=raw,if=none,id=disk,snapshot=on"]
    command = qemu(request(Way.METAL), Media(image="/with,comma.raw"), kvm=False)
    assert command == [*ARM64, *FIRMWARE, *drive, *DISK, *ALONE]


def test_a_disk_image_for_4k_disks_is_on_one() -> None:
    command = qemu(request(Way.METAL), Media(image="/a.raw", sector=4096), kvm=False)
    disk = ["-device", "virtio-blk-pci,drive=disk,bootindex=0,logical_block_size=4096,physical_block_size=4096"]
    assert command == [*ARM64, *FIRMWARE, "-drive", "file=/a.raw,format=raw,if=none,id=disk,snapshot=on", *disk, *ALONE]


def test_over_the_network_ipxe_is_started_and_asks_matchbox() -> None:
    drive = ["-drive", "file=fat:/w/esp,format=raw,if=none,id=disk,readonly=on"]
    net = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
    command = qemu(request(Way.NETBOOT), Media(esp="/w/esp"), kvm=False)
    assert command == [*ARM64, *FIRMWARE, *drive, *DISK, *net]
    assert AUTOEXEC_TEXT.splitlines() == ["#!ipxe", "dhcp", "chain http://10.0.2.2:8080/boot.ipxe"]


def test_further_arguments_come_last() -> None:
    kernel = qemu(request(arguments=("a=1", "b")), Media(kernel="/k", initramfs="/i"), kvm=False)
    assert "talos.platform=metal console=ttyAMA0 earlycon a=1 b" in kernel
    uki = qemu(request(Way.UKI, arguments=("a=1,2",)), Media(esp="/esp"), kvm=False)
    assert "type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyAMA0 earlycon a=1,,2" in uki


def test_with_kvm_emulation_is_what_qemu_falls_back_to() -> None:
    command = qemu(request(), Media(kernel="/k", initramfs="/i"), kvm=True)
    assert command[:9] == [*ARM64[:3], "-accel", "kvm", "-accel", "tcg", "-cpu", "max"]


def test_size_and_number_of_processors_are_the_requests() -> None:
    command = qemu(request(memory=4096, cpus=4), Media(), kvm=False)
    assert command[7:11] == ["-smp", "4", "-m", "4096"]


def test_packages_are_those_of_the_machine_and_of_the_way() -> None:
    assert packages(request()) == ("qemu-system-arm", "qemu-efi-aarch64")
    assert packages(request(Way.NETBOOT, arch="amd64")) == ("qemu-system-x86", "ovmf", "ipxe")
    assert version_command(Arch.AMD64) == ["qemu-system-x86_64", "--version"]


def test_ways_are_read_in_order_and_once() -> None:
    assert parse_ways(["uki, kernel", "uki", ""]) == (Way.KERNEL, Way.UKI)
    assert parse_ways([]) == ()
    assert [parse_way(way.value) for way in WAYS] == list(WAYS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kernal", "unknown way to boot 'kernal': did you mean kernel?"),
        ("netboot", "unknown way to boot 'netboot': choose one of kernel, uki, iso, metal"),
    ],
)
def test_an_unknown_way_is_refused_with_those_that_are_known(text: str, message: str) -> None:
    with pytest.raises(OutputError) as raised:
        parse_way(text)
    assert str(raised.value) == message


def test_a_way_has_its_own_stages() -> None:
    assert "firmware" not in stages_of(Way.KERNEL)
    assert "ipxe" in stages_of(Way.NETBOOT)
    assert "ipxe" not in stages_of(Way.UKI)
    assert [stage.value for stage in stages_of(Way.UKI)][:4] == ["firmware", "loader", "stub", "kernel"]
