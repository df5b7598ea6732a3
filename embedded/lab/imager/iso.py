"""The ISO image: systemd-boot and the UKI for UEFI, both as files and in a FAT partition; GRUB for BIOS; or both."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .boot_loaders import BOOT_FILES, iso_menu, loader_conf
from .errors import ImagerError, require
from .filesystems import copy_into_vfat, create_raw, make_vfat
from .profile import Bootloader
from .tools import copy_file, run, source_date_epoch, touch_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .report import Progress

_MIB = 1 << 20


@dataclass(frozen=True)
class IsoBuilder:
    """Builds the ISO of a Talos version for an architecture."""

    arch: str
    version: str
    bootloader: Bootloader
    cmdline: str
    kernel: Path
    initramfs: Path
    uki: Path
    boot_loader: Path
    scratch: Path
    enroll: str = "off"
    """When systemd-boot may enroll the keys."""
    certificate: bytes | None = None
    """What signed the UKI, in DER."""
    keys: Mapping[str, Path] = field(default_factory=dict[str, "Path"])
    """Variables to enroll: PK, KEK, db."""
    random_seed: bool = False
    """Whether systemd-boot finds a seed that it may not write."""

    def build(self, target: Path, progress: Progress) -> None:
        """Writes the ISO image.

        Raises ImagerError when a tool fails.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        if self.bootloader is not Bootloader.SD_BOOT:
            self._add_grub(progress)
        if self.bootloader is not Bootloader.GRUB:
            self._add_uefi(progress)
        commands = {
            Bootloader.SD_BOOT: uefi_command,
            Bootloader.DUAL_BOOT: hybrid_command,
            Bootloader.GRUB: grub_command,
        }
        epoch = source_date_epoch()
        command = [*commands[self.bootloader](self.scratch, target), *label_arguments(self.version)]
        if epoch is not None:  # the number of the FAT image that grub-mkrescue makes
            command = ["env", f"GRUB_FAT_SERIAL_NUMBER={epoch & 0xFFFFFFFF:x}", *command]
        try:
            run(command)
        except ImagerError as error:
            raise ImagerError(f"failed to create ISO: {error}") from None

    def _add_grub(self, progress: Progress) -> None:
        boot = self.scratch / "boot"
        copy_file(self.kernel, boot / "vmlinuz", progress)
        copy_file(self.initramfs, boot / "initramfs.xz", progress)
        progress("creating grub.cfg")
        (boot / "grub").mkdir()
        (boot / "grub/grub.cfg").write_text(iso_menu(self.cmdline))
        touch_tree(self.scratch, progress)
        progress("creating ISO image")

    def _add_uefi(self, progress: Progress) -> None:
        progress("preparing raw image")
        efi_image = self.scratch / "efiboot.img"
        sizes = (require(file).st_size for file in (self.boot_loader, self.uki))
        create_raw(efi_image, 10 * _MIB + sum(-(-size // _MIB) * _MIB for size in sizes), progress)
        progress("preparing loader.conf")
        progress("creating vFAT EFI image")
        make_vfat(efi_image)
        self._lay_out()
        touch_tree(self.scratch, progress)
        copy_into_vfat(efi_image, [self.scratch / "EFI", self.scratch / "loader"])
        if self.random_seed:
            run(["mattrib", "-i", efi_image, "+r", "::/loader/random-seed"])
        progress("creating ISO image")

    def _lay_out(self) -> None:
        def silent(_: str) -> None: ...

        copy_file(self.boot_loader, self.scratch / f"EFI/BOOT/{BOOT_FILES[self.arch]}.EFI", silent)
        copy_file(self.uki, self.scratch / f"EFI/Linux/Talos-{self.version}.efi", silent)
        (self.scratch / "loader").mkdir()
        (self.scratch / "loader/loader.conf").write_text(loader_conf(self.enroll))
        if self.random_seed:
            (self.scratch / "loader/random-seed").write_bytes(bytes(32))
            (self.scratch / "loader/random-seed").chmod(0o444)
        if self.certificate is not None:
            (self.scratch / "EFI/keys").mkdir()
            (self.scratch / "EFI/keys/uki-signing-cert.der").write_bytes(self.certificate)
        for name, file in self.keys.items():
            copy_file(file, self.scratch / f"loader/keys/auto/{name}.auth", silent)


def uefi_command(folder: Path, target: Path) -> list[str]:
    """Returns the xorrisofs command line: the FAT image becomes appended partition 2 and is what El Torito boots."""
    command = ["xorrisofs", "-e", "--interval:appended_partition_2:all::", "-append_partition", "2", "0xef"]
    command += [str(folder / "efiboot.img"), "-partition_cyl_align", "all", "-partition_offset", "16"]
    command += ["-iso_mbr_part_type", "0x83", "-no-emul-boot", "-m", "efiboot.img", "-iso-level", "3"]
    return [*command, "-o", str(target), str(folder), "--"]


def hybrid_command(folder: Path, target: Path) -> list[str]:
    """Returns the grub-mkrescue command line: as above for UEFI, and GRUB of i386-pc for BIOS, whatever the machine."""
    command = ["grub-mkrescue", "--compress=xz", f"--output={target}", "--verbose", "--directory=/usr/lib/grub/i386-pc"]
    command += ["-m", "efiboot.img", "-iso-level", "3", str(folder), "-eltorito-alt-boot"]
    command += ["-e", "--interval:appended_partition_2:all::", "-append_partition", "2", "0xef"]
    command += [str(folder / "efiboot.img"), "-appended_part_as_gpt", "-partition_cyl_align", "all"]
    return [*command, "-partition_offset", "16", "-iso_mbr_part_type", "0x83", "-no-emul-boot", "--"]


def grub_command(folder: Path, target: Path) -> list[str]:
    """Returns the grub-mkrescue command line for an ISO with GRUB alone, of all platforms that there are."""
    command = ["grub-mkrescue", "--compress=xz", f"--output={target}", "--verbose", str(folder)]
    return [*command, "-iso-level", "3", "--"]


def label_arguments(version: str) -> list[str]:
    """Returns what sets an ISO's dates, by SOURCE_DATE_EPOCH where that is set, and its names."""
    label, dates, epoch = f"Talos-{version}", list[str](), source_date_epoch()
    if epoch is not None:
        uuid = time.strftime("%Y%m%d%H%M%S00", time.localtime(epoch))
        dates = ["-volume_date", "all_file_dates", f"={epoch}", "-volume_date", "uuid", uuid]
    return [*dates, "-volid", volume_id(label), "-volset-id", label]


def volume_id(label: str) -> str:
    """Turns a label into a volume id: at most 32 of A-Z, 0-9 and _."""
    return re.sub(r"[^A-Z0-9_]", "", re.sub(r"[-.]", "_", label.upper()))[:32]
