"""The raw disk image before Talos v1.13: partitioned, formatted and mounted as the disk of a machine is."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

from .disk import BOOT, EFI, META, SFDISK, DiskBuilder, sfdisk_script
from .errors import ImagerError
from .filesystems import EFI_LABEL, create_raw, make_xfs
from .loop import attached, mounted, write, zero
from .meta import partition_image
from .profile import Bootloader
from .tools import run

if TYPE_CHECKING:
    from pathlib import Path

    from .disk import Partition
    from .loop import LoopDevice
    from .report import Progress

# Of the partitions, in the order in which they are mounted.
_FILE_SYSTEMS = {BOOT: "xfs", EFI: "vfat"}


class LoopDiskBuilder(DiskBuilder):
    """Builds the disk image through a loop device, so with privileges; no two runs make the same bytes."""

    def build(self, target: Path, progress: Progress) -> None:
        """Writes the disk image.

        Raises ImagerError when privileges are missing; `failed to install: …` when the disk is too small or a tool
        fails.
        """
        create_raw(target, self.size, progress)
        with attached(target, progress) as device:
            try:
                self._install(device, progress)
            except ImagerError as error:
                raise ImagerError(f"failed to install: {error}") from None

    def _install(self, device: LoopDevice, progress: Progress) -> None:
        try:
            partitions = self.placed(progress)
            script = sfdisk_script(partitions, lambda _: str(uuid.uuid4()).upper())
            run([*SFDISK, device.path], stdin=script.encode())
            device.tell_kernel([(partition.start, partition.size) for partition in partitions])
            for number, partition in enumerate(partitions, 1):
                self._format(partition, device.node(number), progress)
        except ImagerError as error:
            raise ImagerError(f"failed to create partitions: {error}") from None
        nodes = {partition.label: device.node(number) for number, partition in enumerate(partitions, 1)}
        try:
            with ExitStack() as mounts:
                for label, kind in _FILE_SYSTEMS.items():
                    if label in nodes:
                        place = self.boot if label == BOOT else self.boot / EFI
                        mounts.enter_context(mounted(nodes[label], kind, place))
                self.boot_loaders(device.path, progress)
            if self.arch == "amd64" and self.bootloader is not Bootloader.SD_BOOT:
                self.make_bios_bootable(partitions, device.path, progress)
        except ImagerError as error:
            raise ImagerError(f"failed to install bootloader: {error}") from None
        if meta := self.all_meta():
            write(nodes[META], partition_image(meta))

    def _format(self, partition: Partition, node: Path, progress: Progress) -> None:
        kind = _FILE_SYSTEMS.get(partition.label, "zeroes")
        progress(f'formatting the partition "{node}" as "{kind}" with label "{partition.label}"')
        try:
            if kind == "vfat":
                run(["mkfs.vfat", "-F", "32", "-n", EFI_LABEL, node])
            elif kind == "xfs":
                make_xfs(node, BOOT, str(uuid.uuid4()), None, self.quirks.xfs_kernel)
            else:
                zero(node)
        except ImagerError as error:
            raise ImagerError(f"failed to format partition {node}: {error}") from None

    def boot_loaders(self, target: Path, progress: Progress) -> None:
        """Puts the boot loaders onto the mounted partitions; here a board's installer runs beside either."""
        super().boot_loaders(target, progress)
        if self.bootloader is Bootloader.SD_BOOT:
            self.run_overlay(target, progress)
