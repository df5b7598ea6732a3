"""The requirements of boot assets, each with an id that stays, and the run of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.verify import checks_boot as boot
from ci.verify import checks_extensions as extensions
from ci.verify import checks_files as files
from ci.verify.assets import Assets, check_boots, expected_of, read_assets
from ci.verify.model import Check, Requirement, Result

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ci.plan.expectation import Expectation

REQUIREMENTS: tuple[Requirement, ...] = tuple(
    Requirement(*row)
    for row in (
        ("files.readable", "Every file can be read to its end as what it is.", files.readable),
        ("layout.complete", "Every planned output is in its place and is of its kind.", files.complete),
        ("layout.nothing-else", "Nothing lies beside the planned outputs.", files.nothing_else),
        ("checksums.complete", "checksums.sha256 lists every file, once.", files.checksums_complete),
        ("checksums.true", "Every file has the checksum that is listed.", files.checksums_true),
        ("kernel.machine", "Every kernel is an EFI image of the wanted architecture.", boot.kernel_machine),
        ("kernel.same", "Every output that embeds a kernel embeds the same one.", boot.kernel_same),
        ("initramfs.base", "The initramfs holds Talos's init and root file system.", extensions.base),
        ("initramfs.duplicates", "No name is in the initramfs twice.", extensions.duplicates),
        ("initramfs.nothing-else", "The initramfs holds nothing that Talos does not look for.", extensions.strays),
        ("initramfs.same", "Every output that embeds an initramfs embeds the same one.", boot.initramfs_same),
        ("extensions.listed", "extensions.yaml lists the images in the initramfs, each once.", extensions.listed),
        ("extensions.planned", "The extensions are those planned, no more and no fewer.", extensions.planned),
        ("extensions.absent", "There is no trace of what the variant must not have.", extensions.absent),
        ("extensions.unique", "No two extensions have the same name.", extensions.unique),
        ("extensions.compatible", "Every extension is compatible with the Talos version.", extensions.compatible),
        ("extensions.paths", "Extensions carry files only where Talos allows them.", extensions.paths),
        ("extensions.modes", "Nothing in an extension is writable by everyone.", extensions.modes),
        ("extensions.overlap", "No two extensions carry different files at the same path.", extensions.overlap),
        ("elf.machine", "Every program and module is for the wanted architecture.", extensions.elf_machine),
        ("modules.kernel", "Every kernel module is for the kernel that is there.", extensions.modules_kernel),
        ("modules.index", "The modules of extensions are in an index of their own.", extensions.modules_index),
        ("uki.machine", "Every unified kernel image is for the wanted architecture.", boot.uki_machine),
        ("uki.sections", "Every unified kernel image holds a kernel, an initramfs and its texts.", boot.uki_sections),
        ("uki.version", "Every unified kernel image names the Talos version.", boot.uki_version),
        ("uki.release", "Every unified kernel image names the release of its kernel.", boot.uki_release),
        ("cmdline.arguments", "Every command line has the planned arguments.", boot.cmdline_arguments),
        ("boot-loader.machine", "Every boot loader is for the wanted architecture.", boot.loader_machine),
        ("installer.architecture", "The installer image is for the wanted architecture.", boot.installer_architecture),
        ("installer.boot-files", "The installer holds UKI and boot loader where it looks.", boot.installer_boot_files),
        ("installer.entrypoint", "The installer image holds the program that it starts.", boot.installer_entrypoint),
        ("installer.digests", "The installer image's digests are true.", boot.installer_digests),
        ("installer.version", "The installer image is of the Talos version.", boot.installer_version),
        ("media.bootable", "ISO and disk images hold a boot loader where firmware looks.", boot.media_bootable),
        ("disk.partitions", "Disk images have an EFI system and a META partition.", boot.disk_partitions),
        ("sbom.complete", "The SBOM names Talos, its kernel, every extension and their parts.", files.sbom_complete),
        ("provenance.agrees", "The provenance states where these files come from, by digest.", files.provenance_agrees),
        ("report.agrees", "The build report says what the files are.", files.report_agrees),
        ("report.stand-in", "Stand-ins say that they are some.", files.stand_in),
    )
)

#: Can't be asked before there is a report.
OF_THE_REPORT = ("report.agrees", "report.stand-in")


def run_checks(assets: Assets, expected: Expectation, requirements: Iterable[Requirement]) -> tuple[Check, ...]:
    """Return how each requirement went, in their order."""
    return tuple(
        requirement.run(assets, expected).check(requirement.id, requirement.sentence) for requirement in requirements
    )


def verify(folder: Path, expectation: Expectation | None = None) -> Result:
    """Checks a folder of boot assets of any origin against what is expected of it.

    All checks are run, whatever fails. Without an expectation the assets must agree with themselves: one architecture,
    one Talos version, the same kernel and initramfs everywhere. Raises `VerifyError` or `InspectError` only where
    there is nothing to check: no files, or none that boots.
    """
    assets = read_assets(folder)
    check_boots(assets)
    return Result(checks=run_checks(assets, expected_of(assets, expectation), REQUIREMENTS))
