"""What the partitions of a disk hold, and which of them were not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.limits import Limits
from ci.inspect.models import DiskFacts, InitramfsFacts, KernelFacts, MenuFacts, UnreadPartition
from ci.report.inspection import render
from tests.unit.inspect import sample_media, samples, xfs_samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path

    from ci.inspect.models import Inspection

ESP = (sample_media.ESP, "EFI", sample_media.fat([File("EFI/boot/BOOTAA64.efi", samples.boot_loader())], 12))
META = bytes.fromhex("5a4b3c2d").ljust(1 << 20, b"\0")


def facts_of(found: Inspection) -> DiskFacts:
    assert isinstance(found.facts, DiskFacts)
    return found.facts


def test_a_boards_disk_shows_kernel_initramfs_and_arguments_of_its_partition_boot(tmp_path: Path) -> None:
    found = inspect_path(xfs_samples.disk(tmp_path / "metal-arm64.raw", "boot-router", meta=META[:8]))
    facts = facts_of(found)
    boot = next(partition for partition in facts.partitions if partition.name == "BOOT")
    assert boot.filesystem == "xfs"
    names = ["A", "A/initramfs.xz", "A/vmlinuz", "B", "grub", "grub/grub.cfg"]
    assert sorted(entry.path for entry in boot.entries) == names
    assert facts.unread == ()
    nodes = {node.name: node for node in found.contents}
    assert set(nodes) == {"EFI/boot/BOOTAA64.efi", "A/vmlinuz", "A/initramfs.xz", "grub/grub.cfg"}
    assert isinstance(nodes["A/vmlinuz"].facts, KernelFacts)
    initramfs = nodes["A/initramfs.xz"].facts
    assert isinstance(initramfs, InitramfsFacts)
    assert [layer.name for layer in initramfs.layers or ()] == ["spin", "tailscale", "drbd", "modules.dep"]
    menu = nodes["grub/grub.cfg"].facts
    assert isinstance(menu, MenuFacts)
    line = samples.CMDLINE.replace("console=", "talos.board={1} console=", 1)
    assert [(entry.title, entry.kernel, entry.cmdline, entry.initrd) for entry in menu.entries] == [
        ("A - Talos v1.13.6", "/A/vmlinuz", line, ("/A/initramfs.xz",)),
        ("Reset Talos installation", "/A/vmlinuz", f"{line} talos.reset=1", ("/A/initramfs.xz",)),
    ]


def test_a_packed_disk_shows_the_same(tmp_path: Path) -> None:
    plain = xfs_samples.disk(tmp_path / "plain", "boot-worker")
    (tmp_path / "packed").write_bytes(samples.zstd(plain.read_bytes()))
    one, other = inspect_path(plain), inspect_path(tmp_path / "packed")
    assert facts_of(one).partitions == facts_of(other).partitions
    assert [(node.name, node.sha256) for node in one.contents] == [(node.name, node.sha256) for node in other.contents]


def missed(tmp_path: Path, name: str, content: bytes, limits: Limits | None = None) -> tuple[UnreadPartition, ...]:
    (tmp_path / "disk").write_bytes(sample_media.gpt([ESP, (sample_media.LINUX, name, content)]))
    return facts_of(inspect_path(tmp_path / "disk", limits or Limits())).unread


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("BOOT", b"XFSB".ljust(1 << 20, b"\0"), "xfs: superblock: XFS of version 0, which has no checksums"),
        ("BOOT", bytes(0x438) + b"\x53\xef" + bytes(1 << 16), "ext2, ext3 or ext4: no reader knows it"),
        ("META", bytes(0x10040) + b"_BHRfS_M" + bytes(1 << 16), "btrfs: no reader knows it"),
        ("STATE", b"LUKS\xba\xbe".ljust(1 << 16, b"\0"), "LUKS: no reader knows it"),
        ("BOOT", b"\1".ljust(1 << 16, b"\0"), "no file system is recognised in it"),
        ("META", b"\1".ljust(1 << 16, b"\0"), "no file system is recognised in it"),
        ("BOOT", samples.zstd(samples.cpio([])).ljust(1 << 16, b"\0"), "zstd: it is not a file system"),
        ("BOOT", samples.squashfs([File("a", b"b")])[:100], "squashfs: metadata block at byte "),
    ],
)
def test_a_partition_that_is_not_read_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (unread,) = missed(tmp_path, name, content)
    assert (unread.number, unread.name, unread.type) == (2, name, "linux")
    assert unread.reason.startswith(reason)
    text = render(inspect_path(tmp_path / "disk"), "text")
    assert f"partition 2 {name}: not read: {unread.reason}" in text


def test_a_boot_partition_that_is_damaged_is_named(tmp_path: Path) -> None:
    disk = xfs_samples.disk(tmp_path / "disk", "boot-worker")
    partition = next(one for one in facts_of(inspect_path(disk)).partitions if one.name == "BOOT")
    with disk.open("r+b") as file:
        file.seek(partition.offset + 200)
        file.write(b"\xff")
    found = inspect_path(disk)
    (unread,) = facts_of(found).unread
    assert (unread.name, unread.reason) == ("BOOT", "xfs: superblock: its checksum is wrong")
    assert [node.name for node in found.contents] == ["EFI/boot/BOOTAA64.efi"]


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        (sample_media.LINUX, "META", META),
        (sample_media.LINUX, "META", bytes(256 << 10) + META),
        (sample_media.LINUX, "EPHEMERAL", bytes(3 << 20)),
        (sample_media.BIOS, "BIOS", b"GRUB's second stage"),
    ],
)
def test_a_partition_that_holds_no_files_is_not_missed(tmp_path: Path, kind: str, name: str, content: bytes) -> None:
    (tmp_path / "disk").write_bytes(sample_media.gpt([ESP, (kind, name, content)]))
    assert facts_of(inspect_path(tmp_path / "disk")).unread == ()


def test_fat_and_squashfs_in_other_partitions_are_read(tmp_path: Path) -> None:
    firmware = sample_media.fat([File("kernel8.img", samples.kernel())], 12)
    parts = [ESP, (sample_media.LINUX, "FIRMWARE", firmware)]
    parts.append((sample_media.LINUX, "ROOT", samples.squashfs([File("etc/os-release", b"x")])))
    (tmp_path / "disk").write_bytes(sample_media.gpt(parts))
    found = inspect_path(tmp_path / "disk")
    assert [partition.filesystem for partition in facts_of(found).partitions] == ["fat", "fat", "squashfs"]
    assert [(node.name, node.kind) for node in found.contents] == [
        ("EFI/boot/BOOTAA64.efi", "efi"),
        ("kernel8.img", "kernel"),
    ]
    assert facts_of(found).partitions[2].entries[-1].path == "etc/os-release"
