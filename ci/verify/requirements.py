"""The requirements of boot assets: ids that stay, sentences, what each looks at, and what promises that it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.verify import checks_boot as boot
from ci.verify import checks_extensions as extensions
from ci.verify import checks_files as files
from ci.verify import checks_installer as installer
from ci.verify import checks_media as media
from ci.verify import checks_modules as modules
from ci.verify import checks_overlay as overlay
from ci.verify import checks_platform as platform
from ci.verify import checks_runtimes as runtimes
from ci.verify import checks_signatures as signatures
from ci.verify import checks_sizes as sizes
from ci.verify.model import Part, Requirement

if TYPE_CHECKING:
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
REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("files.readable", "Every file can be read to its end as what it is.", files.readable, _ANY),
    Requirement("layout.complete", "Every planned output is in its place and is of its kind.", files.complete, _ANY),
    Requirement("layout.nothing-else", "There is nothing next to the planned outputs.", files.nothing_else, _ANY),
    Requirement("checksums.complete", "checksums.sha256 lists every file, once.", files.checksums_complete, _ANY),
    Requirement("checksums.true", "Every file has the checksum that is listed.", files.checksums_true, _ANY),
    Requirement(
        "signatures.files",
        "Every detached signature is for the file next to it.",
        signatures.signatures_files,
        _ANY,
    ),
    Requirement(
        "signatures.key",
        "Every file is signed with the given key, or in a signed list of checksums.",
        signatures.signatures_key,
        _ANY,
    ),
    Requirement(
        "kernel.machine",
        "Every kernel is an EFI image of the planned architecture.",
        boot.kernel_machine,
        (Part.KERNEL,),
    ),
    Requirement(
        "kernel.same", "Every output that embeds a kernel embeds the same one.", boot.kernel_same, (Part.KERNEL,)
    ),
    Requirement(
        "initramfs.base", "The initramfs holds Talos's init and root file system.", extensions.base, _INITRAMFS
    ),
    Requirement("initramfs.duplicates", "No name is in the initramfs twice.", extensions.duplicates, _INITRAMFS),
    Requirement(
        "initramfs.nothing-else",
        "The initramfs holds nothing that Talos does not look for.",
        extensions.strays,
        _INITRAMFS,
    ),
    Requirement(
        "initramfs.same",
        "Every output that embeds an initramfs embeds the same one.",
        boot.initramfs_same,
        _INITRAMFS,
    ),
    Requirement(
        "initramfs.size",
        "Two of the initramfs fit into the partition BOOT, with their kernels, as upgrades need.",
        sizes.initramfs_size,
        _INITRAMFS,
    ),
    Requirement(
        "extensions.listed",
        "extensions.yaml lists the images in the initramfs, each once.",
        extensions.listed,
        _INITRAMFS,
    ),
    Requirement(
        "extensions.planned",
        "The extensions are those planned, no more and no fewer.",
        extensions.planned,
        _INITRAMFS,
        _extensions,
    ),
    Requirement(
        "extensions.absent",
        "There is no trace of what the variant must not have.",
        extensions.absent,
        _INITRAMFS,
        _absent,
    ),
    Requirement("extensions.unique", "No two extensions have the same name.", extensions.unique, _INITRAMFS),
    Requirement(
        "extensions.compatible",
        "Every extension is compatible with the Talos version.",
        extensions.compatible,
        _INITRAMFS,
    ),
    Requirement(
        "extensions.paths", "Extensions carry files only where Talos allows them.", extensions.paths, _INITRAMFS
    ),
    Requirement("extensions.modes", "Nothing in an extension is writable by everyone.", extensions.modes, _INITRAMFS),
    Requirement(
        "extensions.overlap",
        "No two extensions carry different files at the same path.",
        extensions.overlap,
        _INITRAMFS,
    ),
    Requirement(
        "elf.machine",
        "Every program and module is for the planned architecture.",
        extensions.elf_machine,
        (Part.INITRAMFS, Part.IMAGE),
    ),
    Requirement(
        "modules.kernel",
        "Every kernel module is for the kernel that is there.",
        modules.modules_kernel,
        (Part.INITRAMFS, Part.IMAGE),
    ),
    Requirement(
        "modules.index",
        "The modules of extensions are in an index of their own.",
        modules.modules_index,
        _INITRAMFS,
    ),
    Requirement(
        "modules.planned",
        "Every module that the machine configuration loads is in the image, or in the kernel.",
        modules.modules_planned,
        _INITRAMFS,
        _modules,
    ),
    Requirement(
        "modules.dependencies",
        "Every module that a module needs is in the image, or in the kernel.",
        modules.modules_dependencies,
        _INITRAMFS,
    ),
    Requirement(
        "runtimes.defined",
        "Every container runtime is defined where containerd reads it.",
        runtimes.runtimes_defined,
        _INITRAMFS,
        _runtimes,
    ),
    Requirement(
        "runtimes.shims",
        "Every container runtime's shim is in the image.",
        runtimes.runtimes_shims,
        _INITRAMFS,
    ),
    Requirement("uki.machine", "Every unified kernel image is for the planned architecture.", boot.uki_machine, _UKI),
    Requirement(
        "uki.sections",
        "Every unified kernel image holds a kernel, an initramfs and its texts.",
        boot.uki_sections,
        _UKI,
    ),
    Requirement("uki.version", "Every unified kernel image names the Talos version.", boot.uki_version, _UKI),
    Requirement("uki.release", "Every unified kernel image names the release of its kernel.", boot.uki_release, _UKI),
    Requirement(
        "uki.size",
        "Two of the unified kernel image fit into the EFI system partition, as upgrades need.",
        sizes.uki_size,
        _UKI,
    ),
    Requirement(
        "menu.version",
        "Every menu of GRUB on a disk names the Talos version.",
        boot.menu_version,
        (Part.MENU,),
        _version,
        is_needed=False,
    ),
    Requirement(
        "cmdline.arguments",
        "Every command line has the planned arguments.",
        boot.cmdline_arguments,
        (Part.CMDLINE,),
        _arguments,
    ),
    Requirement(
        "cmdline.platform",
        "Every command line is for one platform, the planned one, and has that platform's own arguments.",
        platform.cmdline_platform,
        (Part.CMDLINE,),
    ),
    Requirement(
        "cmdline.length",
        "Every command line is short enough for the kernel, with what boot loaders add.",
        sizes.cmdline_length,
        (Part.CMDLINE,),
    ),
    Requirement(
        "boot-loader.machine",
        "Every boot loader is for the planned architecture.",
        boot.loader_machine,
        (Part.LOADER,),
    ),
    Requirement(
        "installer.architecture",
        "The installer image is for the planned architecture.",
        installer.installer_architecture,
        _IMAGE,
    ),
    Requirement(
        "installer.boot-files",
        "The installer holds UKI and boot loader where it looks.",
        installer.installer_boot_files,
        _IMAGE,
    ),
    Requirement(
        "installer.entrypoint",
        "The installer image holds the program that it starts.",
        installer.installer_entrypoint,
        _IMAGE,
    ),
    Requirement("installer.digests", "The installer image's digests are true.", installer.installer_digests, _IMAGE),
    Requirement(
        "installer.version", "The installer image is of the Talos version.", installer.installer_version, _IMAGE
    ),
    Requirement(
        "media.bootable",
        "ISO and disk images hold a boot loader where firmware looks.",
        media.media_bootable,
        (Part.MEDIUM,),
    ),
    Requirement(
        "disk.partitions",
        "Disk images have an EFI system and a META partition.",
        media.disk_partitions,
        (Part.DISK,),
    ),
    Requirement(
        "overlay.files",
        "The board's boot files are on the EFI system partition of disk images.",
        overlay.overlay_files,
        (Part.DISK,),
    ),
    Requirement(
        "overlay.boot-code",
        "The board's boot code is at its place on disk images.",
        overlay.overlay_boot_code,
        (Part.DISK,),
    ),
    Requirement(
        "overlay.arguments",
        "Every command line has the board's kernel arguments.",
        overlay.overlay_arguments,
        (Part.CMDLINE,),
        _board,
        is_needed=False,
    ),
    Requirement(
        "overlay.installer", "The installer holds the overlay for the nodes.", overlay.overlay_installer, _IMAGE
    ),
    Requirement(
        "sbom.complete",
        "The SBOM names Talos, its kernel, every extension and their parts.",
        files.sbom_complete,
        _ANY,
    ),
    Requirement(
        "provenance.agrees",
        "The provenance states where these files come from, by digest.",
        files.provenance_agrees,
        _ANY,
    ),
    Requirement("report.agrees", "The build report says what the files are.", files.report_agrees, _ANY),
    Requirement("report.stand-in", "Assets built from stand-ins are labelled as such.", files.stand_in, _ANY),
)
