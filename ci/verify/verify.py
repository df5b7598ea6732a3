"""The requirements of boot assets, each with an id that stays, and the run of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.verify import checks_boot as boot
from ci.verify import checks_extensions as extensions
from ci.verify import checks_files as files
from ci.verify import checks_installer as installer
from ci.verify import checks_media as media
from ci.verify import checks_modules as modules
from ci.verify import checks_overlay as overlay
from ci.verify import checks_runtimes as runtimes
from ci.verify import checks_sizes as sizes
from ci.verify.assets import Assets, check_boots, expected_of, read_assets
from ci.verify.model import Check, Part, Requirement, Result, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ci.plan.expectation import Expectation

_ANY = (Part.FILE,)
_INITRAMFS = (Part.INITRAMFS,)
_UKI = (Part.UKI,)
_IMAGE = (Part.IMAGE,)


def _extensions(expectation: Expectation) -> str | None:
    return None if expectation.extensions is None else "which extensions the assets have"


def _absent(expectation: Expectation) -> str | None:
    return f"that {', '.join(expectation.absent)} is absent" if expectation.absent else None


def _modules(expectation: Expectation) -> str | None:
    return f"that there are the modules {', '.join(expectation.kernel_modules)}" if expectation.kernel_modules else None


def _runtimes(expectation: Expectation) -> str | None:
    named = expectation.runtime_handlers
    return f"that there are the container runtimes {', '.join(named)}" if named else None


def _arguments(expectation: Expectation) -> str | None:
    return f"that there are the arguments {' '.join(expectation.kernel_args)}" if expectation.kernel_args else None


def _board(expectation: Expectation) -> str | None:
    return f"that there are the arguments of {expectation.overlay.name}" if expectation.overlay else None


def _version(expectation: Expectation) -> str | None:
    return f"that the assets are Talos {expectation.talos}" if expectation.talos else None


#: In the order in which they are run and shown: id, sentence, function, what it looks at, and what promises that.
REQUIREMENTS: tuple[Requirement, ...] = tuple(
    Requirement(*row)
    for row in (
        ("files.readable", "Every file can be read to its end as what it is.", files.readable, _ANY),
        ("layout.complete", "Every planned output is in its place and is of its kind.", files.complete, _ANY),
        ("layout.nothing-else", "Nothing lies beside the planned outputs.", files.nothing_else, _ANY),
        ("checksums.complete", "checksums.sha256 lists every file, once.", files.checksums_complete, _ANY),
        ("checksums.true", "Every file has the checksum that is listed.", files.checksums_true, _ANY),
        (
            "kernel.machine",
            "Every kernel is an EFI image of the wanted architecture.",
            boot.kernel_machine,
            (Part.KERNEL,),
        ),
        ("kernel.same", "Every output that embeds a kernel embeds the same one.", boot.kernel_same, (Part.KERNEL,)),
        ("initramfs.base", "The initramfs holds Talos's init and root file system.", extensions.base, _INITRAMFS),
        ("initramfs.duplicates", "No name is in the initramfs twice.", extensions.duplicates, _INITRAMFS),
        (
            "initramfs.nothing-else",
            "The initramfs holds nothing that Talos does not look for.",
            extensions.strays,
            _INITRAMFS,
        ),
        (
            "initramfs.same",
            "Every output that embeds an initramfs embeds the same one.",
            boot.initramfs_same,
            _INITRAMFS,
        ),
        (
            "initramfs.size",
            "Two of the initramfs fit into the partition BOOT, with their kernels, as upgrades need.",
            sizes.initramfs_size,
            _INITRAMFS,
        ),
        (
            "extensions.listed",
            "extensions.yaml lists the images in the initramfs, each once.",
            extensions.listed,
            _INITRAMFS,
        ),
        (
            "extensions.planned",
            "The extensions are those planned, no more and no fewer.",
            extensions.planned,
            _INITRAMFS,
            _extensions,
        ),
        (
            "extensions.absent",
            "There is no trace of what the variant must not have.",
            extensions.absent,
            _INITRAMFS,
            _absent,
        ),
        ("extensions.unique", "No two extensions have the same name.", extensions.unique, _INITRAMFS),
        (
            "extensions.compatible",
            "Every extension is compatible with the Talos version.",
            extensions.compatible,
            _INITRAMFS,
        ),
        ("extensions.paths", "Extensions carry files only where Talos allows them.", extensions.paths, _INITRAMFS),
        ("extensions.modes", "Nothing in an extension is writable by everyone.", extensions.modes, _INITRAMFS),
        (
            "extensions.overlap",
            "No two extensions carry different files at the same path.",
            extensions.overlap,
            _INITRAMFS,
        ),
        (
            "elf.machine",
            "Every program and module is for the wanted architecture.",
            extensions.elf_machine,
            (Part.INITRAMFS, Part.IMAGE),
        ),
        (
            "modules.kernel",
            "Every kernel module is for the kernel that is there.",
            modules.modules_kernel,
            (Part.INITRAMFS, Part.IMAGE),
        ),
        (
            "modules.index",
            "The modules of extensions are in an index of their own.",
            modules.modules_index,
            _INITRAMFS,
        ),
        (
            "modules.planned",
            "Every module that the machine configuration loads is in the image, or in the kernel.",
            modules.modules_planned,
            _INITRAMFS,
            _modules,
        ),
        (
            "modules.dependencies",
            "Every module that a module needs is in the image, or in the kernel.",
            modules.modules_dependencies,
            _INITRAMFS,
        ),
        (
            "runtimes.defined",
            "Every container runtime is defined where containerd reads it.",
            runtimes.runtimes_defined,
            _INITRAMFS,
            _runtimes,
        ),
        (
            "runtimes.shims",
            "Every container runtime's shim is in the image.",
            runtimes.runtimes_shims,
            _INITRAMFS,
        ),
        ("uki.machine", "Every unified kernel image is for the wanted architecture.", boot.uki_machine, _UKI),
        (
            "uki.sections",
            "Every unified kernel image holds a kernel, an initramfs and its texts.",
            boot.uki_sections,
            _UKI,
        ),
        ("uki.version", "Every unified kernel image names the Talos version.", boot.uki_version, _UKI),
        ("uki.release", "Every unified kernel image names the release of its kernel.", boot.uki_release, _UKI),
        (
            "uki.size",
            "Two of the unified kernel image fit into the EFI system partition, as upgrades need.",
            sizes.uki_size,
            _UKI,
        ),
        (
            "menu.version",
            "Every menu of GRUB on a disk names the Talos version.",
            boot.menu_version,
            (Part.MENU,),
            _version,
            False,
        ),
        (
            "cmdline.arguments",
            "Every command line has the planned arguments.",
            boot.cmdline_arguments,
            (Part.CMDLINE,),
            _arguments,
        ),
        (
            "cmdline.length",
            "Every command line is short enough for the kernel, with what boot loaders add.",
            sizes.cmdline_length,
            (Part.CMDLINE,),
        ),
        (
            "boot-loader.machine",
            "Every boot loader is for the wanted architecture.",
            boot.loader_machine,
            (Part.LOADER,),
        ),
        (
            "installer.architecture",
            "The installer image is for the wanted architecture.",
            installer.installer_architecture,
            _IMAGE,
        ),
        (
            "installer.boot-files",
            "The installer holds UKI and boot loader where it looks.",
            installer.installer_boot_files,
            _IMAGE,
        ),
        (
            "installer.entrypoint",
            "The installer image holds the program that it starts.",
            installer.installer_entrypoint,
            _IMAGE,
        ),
        ("installer.digests", "The installer image's digests are true.", installer.installer_digests, _IMAGE),
        ("installer.version", "The installer image is of the Talos version.", installer.installer_version, _IMAGE),
        (
            "media.bootable",
            "ISO and disk images hold a boot loader where firmware looks.",
            media.media_bootable,
            (Part.MEDIUM,),
        ),
        (
            "disk.partitions",
            "Disk images have an EFI system and a META partition.",
            media.disk_partitions,
            (Part.DISK,),
        ),
        (
            "overlay.files",
            "The board's boot files are on the EFI system partition of disk images.",
            overlay.overlay_files,
            (Part.DISK,),
        ),
        (
            "overlay.boot-code",
            "The board's boot code is at its place on disk images.",
            overlay.overlay_boot_code,
            (Part.DISK,),
        ),
        (
            "overlay.arguments",
            "Every command line has the board's kernel arguments.",
            overlay.overlay_arguments,
            (Part.CMDLINE,),
            _board,
            False,
        ),
        ("overlay.installer", "The installer holds the overlay for the nodes.", overlay.overlay_installer, _IMAGE),
        (
            "sbom.complete",
            "The SBOM names Talos, its kernel, every extension and their parts.",
            files.sbom_complete,
            _ANY,
        ),
        (
            "provenance.agrees",
            "The provenance states where these files come from, by digest.",
            files.provenance_agrees,
            _ANY,
        ),
        ("report.agrees", "The build report says what the files are.", files.report_agrees, _ANY),
        ("report.stand-in", "Stand-ins say that they are some.", files.stand_in, _ANY),
    )
)

#: Can't be asked before there is a report.
OF_THE_REPORT = ("report.agrees", "report.stand-in")


def run_checks(assets: Assets, expected: Expectation, requirements: Iterable[Requirement]) -> tuple[Check, ...]:
    """Return how each requirement went, in their order."""
    return tuple(
        _verdict(assets, expected, requirement).check(requirement.id, requirement.sentence)
        for requirement in requirements
    )


def _verdict(assets: Assets, expected: Expectation, requirement: Requirement) -> Verdict:
    """Run a check on what it looks at. What is not there, or was not read, is not taken for right.

    Where the plan says something that only this can show, it has to be shown; else the check is skipped.
    """
    parts = requirement.parts
    what = " and no ".join(parts)
    is_there = any(assets.has(part) for part in parts)
    verdict = requirement.run(assets, expected) if is_there else Verdict()
    unread = assets.unread(parts)
    if not is_there:
        where = f", as far as files were read: {'; '.join(unread)}" if unread else ""
        verdict.skipped = f"there is no {what}{where}"
        missing = [verdict.skipped]
    else:
        verdict.unseen += [f"not every {what} was looked at: {place}" for place in unread]
        missing = verdict.unseen
    promise = requirement.promise(expected)
    if missing and promise and (unread or (requirement.is_needed and _has_to_be_there(expected, parts))):
        verdict.problems += [f"{line}: nothing here tells {promise}" for line in missing]
    return verdict


def _has_to_be_there(expected: Expectation, parts: tuple[Part, ...]) -> bool:
    """Say whether a plan's assets without any of these parts can't be taken for the plan's."""
    if expected.files is None:
        return True
    # A build is checked for the outputs that it was asked for.
    return any(set(parts) & PARTS_OF.get(kind, set()) for kind in expected.files.values())


#: What can be in a file of each kind, as the inspection calls the kinds.
PARTS_OF: Mapping[str, set[Part]] = {
    "kernel": {Part.KERNEL},
    "initramfs": {Part.INITRAMFS},
    "cmdline": {Part.CMDLINE},
    "uki": {Part.UKI, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
    "image": {Part.IMAGE, Part.UKI, Part.LOADER, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
    "iso": {Part.MEDIUM, Part.UKI, Part.LOADER, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
    "disk": {Part.MENU, Part.MEDIUM, Part.DISK, Part.UKI, Part.LOADER, Part.KERNEL, Part.INITRAMFS, Part.CMDLINE},
}


def verify(folder: Path, expectation: Expectation | None = None) -> Result:
    """Check a folder of boot assets of any origin against what is expected of it.

    All checks are run, whatever fails. Without an expectation the assets must agree with themselves: one architecture,
    one Talos version, the same kernel and initramfs everywhere. Raises `VerifyError` or `InspectError` only where
    there is nothing to check: no files, or none that boots.
    """
    assets = read_assets(folder)
    check_boots(assets)
    return Result(checks=run_checks(assets, expected_of(assets, expectation), REQUIREMENTS))
