"""Disks and ISOs that GRUB boots, alone or beside systemd-boot."""

from __future__ import annotations

import filecmp
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embedded.tests.lab_imager.builds import DISK, MIB, build, cut_out, partitions, run_profile
from embedded.tests.lab_imager.readers import read_pe

if TYPE_CHECKING:
    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import RootRunner

pytestmark = pytest.mark.lab

BIOS_TYPE = "21686148-6449-6E6F-744E-656564454649"


@pytest.fixture(autouse=True)
def with_inputs(inputs: Inputs) -> Inputs:
    return inputs


@pytest.fixture(scope="module")
def dual(root: RootRunner, inputs: Inputs) -> Path:
    """The disk of amd64, which boots both ways."""
    return build(root, "dual", arch="amd64", kind=DISK % "")


def place(root: RootRunner, disk: Path, name: str) -> tuple[int, int]:
    """Where a partition starts and how large it is, in bytes."""
    table = partitions(root, f"/LAB/{disk.relative_to(root.lab)}")
    (found,) = (one for one in table if one["name"] == name)
    return int(found["start"]) * 512, int(found["size"]) * 512


def xfs(root: RootRunner, disk: Path, *commands: str) -> str:
    """Runs xfs_db's commands on the boot partition."""
    image = cut_out(disk, *place(root, disk, "BOOT"), root.lab / "out/boot.xfs")
    try:
        arguments = [word for command in commands for word in ("-c", command)]
        return root.tool("xfs_db", "-r", *arguments, f"/LAB/{image.relative_to(root.lab)}")
    finally:
        image.unlink()


def test_disk_of_amd64_has_room_for_both_boot_loaders(root: RootRunner, dual: Path) -> None:
    table = partitions(root, "/LAB/out/dual/metal-amd64.raw")
    sizes = [(one["name"], int(one["start"]) // 2048, int(one["size"]) // 2048) for one in table]
    assert sizes == [("EFI", 1, 2101), ("BIOS", 2102, 1), ("BOOT", 2103, 2000), ("META", 4103, 1)]
    assert (table[1]["type"], table[1]["attrs"]) == (BIOS_TYPE, "LegacyBIOSBootable")
    assert dual.stat().st_size == 1306525696 + (1000 + 1 + 2000) * MIB
    # Only what is not zero takes room.
    assert dual.stat().st_blocks * 512 < 128 * MIB


def test_disk_of_amd64_boots_by_systemd_boot_under_uefi(root: RootRunner, dual: Path) -> None:
    listing = root.tool("mdir", "-/", "-b", "-i", "/LAB/out/dual/metal-amd64.raw@@1048576", "::").splitlines()
    assert {"::/EFI/boot/BOOTX64.efi", "::/EFI/Linux/Talos-v1.13.6.efi", "::/loader/loader.conf"} <= set(listing)
    loader = root.lab / "out/loader.efi"
    root.tool("mcopy", "-i", "/LAB/out/dual/metal-amd64.raw@@1048576", "::/EFI/boot/BOOTX64.efi", "/LAB/out/loader.efi")
    assert b"systemd-boot" in loader.read_bytes()
    assert read_pe(loader).machine == 0x8664


def test_disk_of_amd64_boots_by_grub_under_bios(root: RootRunner, dual: Path) -> None:
    start, size = place(root, dual, "BIOS")
    with dual.open("rb") as disk:
        code = disk.read(512)
        disk.seek(start)
        core = disk.read(size)
    assert b"GRUB" in code[:446]
    assert int.from_bytes(code[0x5C:0x64], "little") == start // 512
    assert code[0x66:0x68] == b"\x90\x90"
    assert code[510:] == b"\x55\xaa"
    assert int.from_bytes(core[0x1F4:0x1FC], "little") == start // 512 + 1
    assert len(core.rstrip(b"\0")) > 20_000


def test_boot_partition_holds_kernel_initramfs_and_menu(root: RootRunner, dual: Path) -> None:
    told = xfs(root, dual, "label", "uuid", "path /A", "ls", "path /grub", "ls", "path /grub/grub.cfg", "p core.mode")
    assert 'label = "BOOT"' in told
    for name in ("vmlinuz", "initramfs.xz", "grub.cfg"):
        assert f" {name} " in told
    assert "core.mode = 0100600" in told


def test_node_learns_from_meta_that_one_of_two_boot_loaders_is_to_go(root: RootRunner, dual: Path) -> None:
    start, _ = place(root, dual, "META")
    with dual.open("rb") as disk:
        disk.seek(start + 4)
        assert disk.read(17) == (17).to_bytes(4, "big") + (9).to_bytes(4, "big") + b"dual-boot"


def test_disk_of_amd64_is_the_same_again(root: RootRunner, dual: Path) -> None:
    again = build(root, "dual-again", arch="amd64", kind=DISK % "")
    assert filecmp.cmp(again, dual, shallow=False)
    again.unlink()


def test_grub_alone_boots_arm64_where_it_is_asked_for(root: RootRunner) -> None:
    disk = build(root, "arm64-grub", kind=DISK % ", bootloader: grub")
    table = partitions(root, "/LAB/out/arm64-grub/metal-arm64.raw")
    sizes = [(one["name"], int(one["size"]) // 2048) for one in table]
    assert sizes == [("EFI", 100), ("BIOS", 1), ("BOOT", 2000), ("META", 1)]
    image = "/LAB/out/arm64-grub/metal-arm64.raw@@1048576"
    assert root.tool("mdir", "-/", "-b", "-i", image, "::").splitlines() == [
        "::/EFI/",
        "::/EFI/boot/",
        "::/EFI/boot/BOOTAA64.efi",
    ]
    root.tool("mcopy", "-i", image, "::/EFI/boot/BOOTAA64.efi", "/LAB/out/grub.efi")
    assert read_pe(root.lab / "out/grub.efi").machine == 0xAA64
    with disk.open("rb") as file:
        assert file.read(446) == bytes(446)
    assert not run_profile(root, "arm64-meta", kind="cmdline").exit_code


def test_both_boot_loaders_are_refused_on_arm64(root: RootRunner) -> None:
    result = run_profile(root, "arm64-dual", kind=DISK % ", bootloader: dual-boot")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: failed to install: failed to get bootloader partitions: failed to generate bootloader assets: "
        "dual-boot bootloader is not supported on arm64 architecture, either GRUB or sd-boot must be used"
    )


@pytest.mark.parametrize(
    ("case", "arch", "bootloader", "boots"),
    [
        ("iso-amd64", "amd64", "", ["BIOS", "UEFI"]),
        ("iso-sd-boot", "amd64", "\n  isoOptions: {bootloader: sd-boot}", ["UEFI"]),
        ("iso-grub", "arm64", "\n  isoOptions: {bootloader: grub}", ["BIOS", "UEFI"]),
    ],
)
def test_iso_boots_as_it_is_asked_to(root: RootRunner, case: str, arch: str, bootloader: str, boots: list[str]) -> None:
    iso = build(root, case, arch=arch, kind=f"iso{bootloader}", uid=0)
    inside = f"/LAB/{iso.relative_to(root.lab)}"
    report = root.tool("xorriso", "-indev", inside, "-report_el_torito", "plain").splitlines()
    assert [line.split()[6] for line in report if line.startswith("El Torito boot img")] == boots
    files = set(root.tool("xorriso", "-indev", inside, "-find", "/").splitlines())
    assert ("'/boot/grub/grub.cfg'" in files) is (case != "iso-sd-boot")
    assert ("'/EFI/Linux/Talos-v1.13.6.efi'" in files) is (case != "iso-grub")
    if case != "iso-grub":  # there grub-mkrescue makes a FAT image by itself, dated as it comes
        again = build(root, f"{case}-again", arch=arch, kind=f"iso{bootloader}", uid=0)
        assert filecmp.cmp(again, iso, shallow=False)


OLD = ("v1.11.3", "v1.12.6")
NODES = """\
#!/bin/sh
for partition in /sys/class/block/loop*p*; do
    read -r number <"$partition/dev"
    mknod "/dev/${partition##*/}" b "${number%:*}" "${number#*:}"
done
exec /usr/sbin/mkfs.vfat "$@"
"""


@pytest.fixture
def nodes(root: RootRunner) -> dict[str, str]:
    """The environment in which partitions get their nodes when they are formatted."""
    program = root.lab / "before/mkfs.vfat"
    program.parent.mkdir(exist_ok=True)
    program.write_text(NODES)
    program.chmod(0o755)
    return {"PATH": "/LAB/before:/usr/sbin:/usr/bin:/sbin:/bin"}


def attached(root: RootRunner) -> list[str]:
    """The loop devices that are attached to one of the runner's files."""
    found = Path("/sys/block").glob("loop*/loop/backing_file")
    return [path.parts[3] for path in found if "/out/old" in path.read_text()]


@pytest.mark.parametrize("version", OLD)
def test_old_disk_asks_for_privileges(root: RootRunner, version: str) -> None:
    refused = run_profile(root, "old-refused", kind=DISK % "", version=version)
    assert refused.exit_code == 1
    assert "Error: failed to attach loopback device: could not open /dev/loop-control: " in refused.stderr


@pytest.mark.parametrize("version", OLD)
def test_old_disk_looks_for_its_partitions_nodes_in_vain(root: RootRunner, version: str) -> None:
    """As in every container: the kernel makes them in the machine's /dev."""
    refused = run_profile(root, "old-nodes", kind=DISK % "", version=version, uid=0)
    assert refused.exit_code == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(
        "Error: failed to install: failed to create partitions: failed to format partition /dev/loop"
    )
    assert re.search(r"mkfs\.vfat: unable to open /dev/loop\d+p1: No such file or directory$", last)
    assert attached(root) == []


@pytest.mark.parametrize("version", OLD)
def test_old_disk_has_the_same_partitions_and_files(root: RootRunner, nodes: dict[str, str], version: str) -> None:
    disk = build(root, "old", kind=DISK % "", version=version, uid=0, environment=nodes)
    inside = f"/LAB/{disk.relative_to(root.lab)}"
    table = partitions(root, inside)
    assert [(one["name"], int(one["size"]) // 2048) for one in table] == [("EFI", 2101), ("META", 1)]
    assert sorted(root.tool("mdir", "-/", "-b", "-i", f"{inside}@@1048576", "::").splitlines()) == [
        "::/EFI/",
        "::/EFI/Linux/",
        f"::/EFI/Linux/Talos-{version}.efi",
        "::/EFI/boot/",
        "::/EFI/boot/BOOTAA64.efi",
        "::/loader/",
        "::/loader/loader.conf",
    ]
    assert attached(root) == []


def test_old_disk_of_amd64_boots_both_ways(root: RootRunner, nodes: dict[str, str]) -> None:
    disk = build(root, "old-dual", arch="amd64", kind=DISK % "", version="v1.12.6", uid=0, environment=nodes)
    told = xfs(root, disk, "label", "path /A", "ls", "path /grub", "ls", "path /", "ls")
    for name in ("vmlinuz", "initramfs.xz", "grub.cfg"):
        assert f" {name} " in told
    listing = root.tool("mdir", "-/", "-b", "-i", f"/LAB/{disk.relative_to(root.lab)}@@1048576", "::")
    assert "::/EFI/boot/BOOTX64.efi" in listing
    start, size = place(root, disk, "BIOS")
    with disk.open("rb") as file:
        assert b"GRUB" in file.read(446)
        file.seek(start)
        assert len(file.read(size).rstrip(b"\0")) > 20_000
        file.seek(place(root, disk, "META")[0] + 4)
        assert file.read(17).endswith(b"dual-boot")
    disk.unlink()
