"""The ISO image: bootable by UEFI alone, with systemd-boot and the UKI both as files and in a FAT partition."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .boot_files import BOOT_FILES, LOADER_CONF, copy_into_vfat, create_raw, make_vfat
from .errors import ImagerError, require
from .tools import copy_file, run, source_date_epoch, touch_tree

if TYPE_CHECKING:
    from pathlib import Path

    from .report import Progress

_MIB = 1 << 20


@dataclass(frozen=True)
class IsoBuilder:
    """Builds the ISO of a Talos version for an architecture."""

    arch: str
    version: str
    uki: Path
    boot_loader: Path
    scratch: Path

    def build(self, target: Path, progress: Progress) -> None:
        """Writes the ISO image.

        Raises ImagerError when a tool fails.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
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
        progress("creating ISO image")
        try:
            run(iso_command(self.version, efi_image, self.scratch, target))
        except ImagerError as error:
            raise ImagerError(f"failed to create ISO: {error}") from None

    def _lay_out(self) -> None:
        def silent(_: str) -> None: ...

        copy_file(self.boot_loader, self.scratch / f"EFI/BOOT/{BOOT_FILES[self.arch]}.EFI", silent)
        copy_file(self.uki, self.scratch / f"EFI/Linux/Talos-{self.version}.efi", silent)
        (self.scratch / "loader").mkdir()
        (self.scratch / "loader/loader.conf").write_text(LOADER_CONF)


def iso_command(version: str, efi_image: Path, folder: Path, target: Path) -> list[str]:
    """Returns the xorrisofs command line: the FAT image becomes appended partition 2 and is what El Torito boots."""
    label = f"Talos-{version}"
    command = ["xorrisofs", "-e", "--interval:appended_partition_2:all::", "-append_partition", "2", "0xef"]
    command += [str(efi_image), "-partition_cyl_align", "all", "-partition_offset", "16", "-iso_mbr_part_type", "0x83"]
    command += ["-no-emul-boot", "-m", "efiboot.img", "-iso-level", "3", "-o", str(target), str(folder), "--"]
    epoch = source_date_epoch()
    if epoch is not None:
        uuid = time.strftime("%Y%m%d%H%M%S00", time.localtime(epoch))
        command += ["-volume_date", "all_file_dates", f"={epoch}", "-volume_date", "uuid", uuid]
    return [*command, "-volid", volume_id(label), "-volset-id", label]


def volume_id(label: str) -> str:
    """Turns a label into a volume id: at most 32 of A-Z, 0-9 and _."""
    return re.sub(r"[^A-Z0-9_]", "", re.sub(r"[-.]", "_", label.upper()))[:32]
