"""The raw disk image: a GPT with what its boot loaders need and the META partition, made without privileges.

That is so from Talos v1.13 on; how it was made before is in `loop_disk`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .boot_loaders import BOOT_FILES, disk_menu, grub_images, link_bios_images, loader_conf
from .errors import ImagerError
from .filesystems import copy_into_vfat, create_raw, make_vfat, make_xfs, write_sparse
from .meta import PARTITION_SIZE, MetaContents, MetaValue, partition_image
from .profile import Bootloader
from .tools import copy_file, run, touch_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .contract import Contract, Quirks
    from .overlay import OverlayInstaller
    from .report import Progress

SECTOR = 512
_MIB = 1 << 20
_DISK_LABEL = "talos-image-disk"
EFI, BIOS, BOOT, META = "EFI", "BIOS", "BOOT", "META"
_TYPES = {
    EFI: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    BIOS: "21686148-6449-6E6F-744E-656564454649",
    BOOT: "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    META: "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
}
# The backup table takes the disk's last 33 sectors.
_BACKUP_SECTORS = 33
_MBR_CODE = 446
SFDISK = ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never")
# The META key that tells a node of a disk with two boot loaders to remove the one that it does not need.
_META_BOOTLOADER = 17


@dataclass(frozen=True)
class Partition:
    """One partition; start and size in bytes."""

    label: str
    type_guid: str
    start: int
    size: int


@dataclass(frozen=True)
class DiskBuilder:
    """Builds the disk image of a Talos version for an architecture; `size` is the disk's in bytes."""

    arch: str
    version: str
    contract: Contract
    size: int
    bootloader: Bootloader
    secure_boot: bool
    meta: MetaContents
    cmdline: str
    kernel: Path
    initramfs: Path
    uki: Path
    boot_loader: Path
    overlay: OverlayInstaller | None
    scratch: Path
    sector: int = SECTOR
    enroll: str | None = None
    """When systemd-boot may enroll the keys."""
    keys: Mapping[str, Path] = field(default_factory=dict[str, "Path"])
    """Variables to enroll: PK, KEK, db."""

    @property
    def quirks(self) -> Quirks:
        """What the Talos version switches on."""
        return self.contract.quirks(self.version)

    @property
    def boot(self) -> Path:
        """What becomes the boot partition; what is below `EFI` there becomes the EFI partition."""
        return self.scratch / "boot"

    def build(self, target: Path, progress: Progress) -> None:
        """Writes the disk image as a sparse file.

        Raises ImagerError `failed to install: …` when the disk is too small or a tool fails.
        """
        create_raw(target, self.size, progress)
        try:
            self._assets(target, progress)
            partitions = self._partition(target, progress)
            for partition in partitions:
                self._fill(partition, target, progress)
            if self.arch == "amd64" and self.bootloader is not Bootloader.SD_BOOT:
                self.make_bios_bootable(partitions, target, progress)
            if meta := self.all_meta():
                self._write_meta(meta, target, partitions[-1].start, progress)
        except ImagerError as error:
            raise ImagerError(f"failed to install: {error}") from None

    def _assets(self, target: Path, progress: Progress) -> None:
        """Puts the partitions' files into folders, by way of the places where a node mounts them."""
        try:
            self.boot_loaders(target, progress)
        except ImagerError as error:
            failed = "failed to get bootloader partitions: failed to generate bootloader assets"
            raise ImagerError(f"{failed}: {error}") from None
        (self.boot / "EFI").rename(self.scratch / EFI)

    def boot_loaders(self, target: Path, progress: Progress) -> None:
        """Puts the boot loaders, and what they boot, where a node mounts the partitions that have them."""
        match self.bootloader:
            case Bootloader.SD_BOOT:
                self._sd_boot(progress)
            case Bootloader.GRUB:
                self._grub(target, progress)
            case _ if self.arch == "arm64":
                instead = "either GRUB or sd-boot must be used"
                raise ImagerError(f"dual-boot bootloader is not supported on arm64 architecture, {instead}")
            case _:
                self._grub(target, progress)
                for item in (self.boot / "EFI").iterdir():
                    shutil.rmtree(item)
                self._sd_boot(progress)

    def _sd_boot(self, progress: Progress) -> None:
        mount = self.boot / "EFI"
        copy_file(self.uki, mount / f"EFI/Linux/Talos-{self.version}.efi", progress)
        copy_file(self.boot_loader, mount / f"EFI/boot/{BOOT_FILES[self.arch]}.efi", progress)
        (mount / "loader").mkdir()
        (mount / "loader/loader.conf").write_text(loader_conf(self.enroll))
        for name, file in self.keys.items():
            copy_file(file, mount / f"loader/keys/auto/{name}.auth", progress)

    def _grub(self, target: Path, progress: Progress) -> None:
        copy_file(self.kernel, self.boot / "A/vmlinuz", progress)
        copy_file(self.initramfs, self.boot / "A/initramfs.xz", progress)
        menu = self.boot / "grub/grub.cfg"
        menu.parent.mkdir(mode=0o700)
        progress(f"writing {menu} to disk")
        reset = self.bootloader is not Bootloader.GRUB or self.quirks.since(1, 4)
        menu.write_text(disk_menu(self.cmdline, self.version, reset=reset))
        menu.chmod(0o600)
        grub_images(self.arch, self.scratch, self.boot / f"EFI/EFI/boot/{BOOT_FILES[self.arch]}.efi", progress)
        # Only here: with systemd-boot alone a board's installer never runs, in the real imager too.
        self.run_overlay(target, progress)

    def run_overlay(self, disk: Path, progress: Progress) -> None:
        """Has a board's installer put its files onto the disk, and where the partitions are mounted."""
        if self.overlay is not None:
            progress('running overlay installer ""')
            self.overlay.install(disk, self.scratch)

    def _partition(self, target: Path, progress: Progress) -> list[Partition]:
        try:
            partitions = self.placed(progress)
        except ImagerError as error:
            raise ImagerError(f"failed to create partitions: {error}") from None
        script = sfdisk_script(partitions, sector=self.sector)
        run([*SFDISK, f"--sector-size={self.sector}", target], stdin=script.encode())
        return partitions

    def placed(self, progress: Progress) -> list[Partition]:
        """Returns the partitions.

        Raises ImagerError `failed to allocate partition …` when the disk is too small.
        """
        first = _MIB if self.overlay is None else self.overlay.first_byte(_MIB)
        partitions = layout(self.quirks, self.bootloader, first)
        end = self.size - _BACKUP_SECTORS * self.sector
        for partition in partitions:
            if partition.start + partition.size > end:
                raise ImagerError(f"failed to allocate partition {partition.label}: no allocatable range found")
            progress(f"created {partition.label} ({partition.type_guid}) size {partition.size} bytes")
        return partitions

    def _fill(self, partition: Partition, target: Path, progress: Progress) -> None:
        folders = {EFI: self.scratch / EFI, BOOT: self.boot}
        if partition.label not in folders:
            return
        folder, image = folders[partition.label], self.scratch / f"{partition.label}.img"
        kind = "vfat" if partition.label == EFI else "xfs"
        create_raw(image, partition.size, progress)
        touch_tree(folder, progress)
        progress(f'formatting the partition "{image}" as "{kind}" with label "{partition.label}"')
        if partition.label == EFI:
            make_vfat(image, self.sector)
            for item in sorted(folder.iterdir()):
                copy_into_vfat(image, [item])
        else:
            make_xfs(image, partition.label, guid(partition.label), folder, self.quirks.xfs_kernel, self.sector)
        write_sparse(image, target, partition.start)
        image.unlink()
        progress(f"updated partition {partition.label} with {partition.size} bytes of data")

    def make_bios_bootable(self, partitions: list[Partition], target: Path, progress: Progress) -> None:
        """Writes GRUB's images to where BIOS looks for them."""
        (place,) = (partition for partition in partitions if partition.label == BIOS)
        boot, core = ((self.scratch / name).read_bytes() for name in ("boot.img", "core.img"))
        boot, core = link_bios_images(boot, core, place.start // SECTOR)
        if len(core) > place.size:
            raise ImagerError(f"core.img size ({len(core)} bytes) exceeds BIOS partition size ({place.size} bytes)")
        with target.open("r+b") as disk:
            disk.seek(place.start)
            disk.write(core)
            progress(f"embedded GRUB core.img into BIOS partition image ({len(core)} bytes)")
            disk.seek(0)
            disk.write(boot[:_MBR_CODE])
        progress(f"wrote GRUB MBR to image file {target}")

    def all_meta(self) -> MetaContents:
        """Returns what the META partition gets: the profile's values, and which boot loaders the disk has."""
        meta = MetaContents(self.meta)
        if self.arch == "amd64" and not self.secure_boot and self.bootloader is Bootloader.DUAL_BOOT:
            meta.append(MetaValue(_META_BOOTLOADER, Bootloader.DUAL_BOOT.value))
        return meta

    def _write_meta(self, meta: MetaContents, target: Path, start: int, progress: Progress) -> None:
        file = self.scratch / "meta.img"
        create_raw(file, PARTITION_SIZE, progress)
        progress(f"META: loading from {file}")
        progress("META: loaded 0 keys")
        progress(f"META: saving to {file}")
        file.write_bytes(partition_image(meta))
        progress(f"META: saved {len({item.key for item in meta})} keys")
        write_sparse(file, target, start)


def layout(quirks: Quirks, bootloader: Bootloader = Bootloader.SD_BOOT, first: int = _MIB) -> list[Partition]:
    """Returns the partitions of a Talos version's disk; `first` is where they begin, in bytes.

    Where systemd-boot boots, EFI takes the room that GRUB's three have; those two stay beside it for BIOS.
    """
    sizes = {EFI: 100, BIOS: 1, BOOT: quirks.boot_mib}
    if bootloader is not Bootloader.GRUB:
        sizes[EFI] = sum(sizes.values())
    if bootloader is Bootloader.SD_BOOT:
        del sizes[BIOS], sizes[BOOT]
    partitions: list[Partition] = []
    for label, mib in {**sizes, META: 1}.items():
        partitions.append(Partition(label, _TYPES[label], first, mib * _MIB))
        first += mib * _MIB
    return partitions


def guid(label: str) -> str:
    """Returns the GUID of a label: a version 8 UUID made of the label's SHA-256, so that images are reproducible."""
    digest = bytearray(hashlib.sha256(bytes(16) + label.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest))).upper()


def sfdisk_script(partitions: list[Partition], guid: Callable[[str], str] = guid, sector: int = SECTOR) -> str:
    """Returns the input of sfdisk for a list of partitions; all GUIDs follow from the labels, or as `guid` has it."""
    first = partitions[0].start // sector
    lines = ["label: gpt", f"label-id: {guid(_DISK_LABEL)}", "unit: sectors", f"first-lba: {first}", ""]
    for partition in partitions:
        attributes = ', attrs="LegacyBIOSBootable"' if partition.label == BIOS else ""
        lines.append(
            f"start={partition.start // sector}, size={partition.size // sector}, type={partition.type_guid}, "
            f"uuid={guid(partition.label)}, name={json.dumps(partition.label)}{attributes}"
        )
    return "\n".join(lines) + "\n"
