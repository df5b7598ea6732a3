"""The raw disk image: GPT with an EFI partition (systemd-boot, UKI) and the META partition, made without privileges."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .boot_files import BOOT_FILES, EFI_LABEL, LOADER_CONF, copy_into_vfat, create_raw, make_vfat
from .errors import ImagerError
from .meta import PARTITION_SIZE, MetaContents, partition_image
from .tools import copy_file, run, touch_tree

if TYPE_CHECKING:
    from pathlib import Path

    from .contract import Quirks
    from .report import Progress

SECTOR = 512
_MIB = 1 << 20
_DISK_LABEL = "talos-image-disk"
# The backup table takes the disk's last 33 sectors.
_BACKUP_SECTORS = 33


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
    quirks: Quirks
    size: int
    meta: MetaContents
    uki: Path
    boot_loader: Path
    scratch: Path

    def build(self, target: Path, progress: Progress) -> None:
        """Writes the disk image as a sparse file.

        Raises ImagerError `failed to install: …` when the disk is too small or a tool fails.
        """
        create_raw(target, self.size, progress)
        try:
            folder = self._lay_out(progress)
            partitions = self._partition(target, progress)
            efi_image = self.scratch / f"{EFI_LABEL}.img"
            create_raw(efi_image, partitions[0].size, progress)
            touch_tree(folder, progress)
            progress(f'formatting the partition "{efi_image}" as "vfat" with label "{EFI_LABEL}"')
            make_vfat(efi_image)
            for item in sorted(folder.iterdir()):
                copy_into_vfat(efi_image, [item])
            write_sparse(efi_image, target, partitions[0].start)
            progress(f"updated partition {EFI_LABEL} with {partitions[0].size} bytes of data")
            if self.meta:
                self._write_meta(target, partitions[1].start, progress)
        except ImagerError as error:
            raise ImagerError(f"failed to install: {error}") from None

    def _lay_out(self, progress: Progress) -> Path:
        """Puts the EFI partition's files into a folder, by way of the place where the real one mounts it."""
        mount = self.scratch / "boot/EFI"
        copy_file(self.uki, mount / f"EFI/Linux/Talos-{self.version}.efi", progress)
        copy_file(self.boot_loader, mount / f"EFI/boot/{BOOT_FILES[self.arch]}.efi", progress)
        (mount / "loader").mkdir()
        (mount / "loader/loader.conf").write_text(LOADER_CONF)
        return mount.rename(self.scratch / EFI_LABEL)

    def _partition(self, target: Path, progress: Progress) -> list[Partition]:
        partitions = layout(self.quirks)
        end = self.size - _BACKUP_SECTORS * SECTOR
        for partition in partitions:
            if partition.start + partition.size > end:
                failed = f"failed to allocate partition {partition.label}"
                raise ImagerError(f"failed to create partitions: {failed}: no allocatable range found")
            progress(f"created {partition.label} ({partition.type_guid}) size {partition.size} bytes")
        script = sfdisk_script(partitions).encode()
        run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never", target], stdin=script)
        return partitions

    def _write_meta(self, target: Path, start: int, progress: Progress) -> None:
        file = self.scratch / "meta.img"
        create_raw(file, PARTITION_SIZE, progress)
        progress(f"META: loading from {file}")
        progress("META: loaded 0 keys")
        progress(f"META: saving to {file}")
        file.write_bytes(partition_image(self.meta))
        progress(f"META: saved {len({item.key for item in self.meta})} keys")
        write_sparse(file, target, start)


def layout(quirks: Quirks) -> list[Partition]:
    """Returns the partitions of a Talos version's disk; EFI takes the room that GRUB's three once had."""
    efi_size = (100 + 1 + (2000 if quirks.since(1, 11) else 1000)) * _MIB
    return [
        Partition(EFI_LABEL, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", _MIB, efi_size),
        Partition("META", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", _MIB + efi_size, PARTITION_SIZE),
    ]


def sfdisk_script(partitions: list[Partition]) -> str:
    """Returns the input of sfdisk for a list of partitions; all GUIDs follow from the labels."""
    lines = ["label: gpt", f"label-id: {guid(_DISK_LABEL)}", "unit: sectors", "first-lba: 2048", ""]
    lines += [
        f"start={partition.start // SECTOR}, size={partition.size // SECTOR}, type={partition.type_guid}, "
        f'uuid={guid(partition.label)}, name="{partition.label}"'
        for partition in partitions
    ]
    return "\n".join(lines) + "\n"


def guid(label: str) -> str:
    """Returns the GUID of a label: a version 8 UUID made of the label's SHA-256, so that images are reproducible."""
    digest = bytearray(hashlib.sha256(bytes(16) + label.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest))).upper()


def write_sparse(source: Path, target: Path, offset: int) -> None:
    """Copies what a sparse file holds to an offset of another one, holes left as holes."""
    with source.open("rb") as read, target.open("r+b") as write:
        end = os.fstat(read.fileno()).st_size
        position = 0
        while position < end:
            try:
                start = os.lseek(read.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            write.seek(offset + start)
            while start < position:
                chunk = os.pread(read.fileno(), min(position - start, 4 * _MIB), start)
                write.write(chunk)
                start += len(chunk)
