"""The requirements of boot assets, each with an id that stays, and the run of all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci.inspect.inspect import inspect_path
from ci.verify import checks_boot as boot
from ci.verify import checks_extensions as extensions
from ci.verify import checks_files as files
from ci.verify.assets import VALIDATION, Assets, check_boots, expected_of, read_assets
from ci.verify.checksums import CHECKSUMS, REPORT, REPORT_TEXT, render_checksums
from ci.verify.model import Check, Expectation, Requirement, Result
from ci.verify.provenance import PROVENANCE, make_provenance
from ci.verify.report import make_report, render_report
from ci.verify.sbom import SBOM, make_sbom
from ci.verify.signatures import SIGNATURES, read_signatures

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
_OF_THE_REPORT = ("report.agrees", "report.stand-in")


def _run(assets: Assets, expected: Expectation, requirements: Iterable[Requirement]) -> tuple[Check, ...]:
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
    return Result(checks=_run(assets, expected_of(assets, expectation), REQUIREMENTS))


def seal(folder: Path, expectation: Expectation, plan: Any = None, epoch: int = 0) -> Result:
    """Writes SBOM, provenance, checksums and the build report into a folder of assets, and returns the checks.

    All is written whatever the checks say. `plan` is the plan as a JSON value (any other is only put into the
    report); `epoch` is the SBOM's time, in seconds since 1970.
    """
    assets = read_assets(folder)
    (assets.root / VALIDATION).mkdir(exist_ok=True)
    sbom = make_sbom(assets, expected_of(assets, expectation), epoch)
    (assets.root / SBOM).write_text(sbom.to_json(), encoding="utf-8")
    papers = [SBOM]
    if (provenance := make_provenance(assets.digests, plan, read_signatures(assets.text(SIGNATURES)))) is not None:
        document = json.dumps(provenance, indent=2, ensure_ascii=False)
        (assets.root / PROVENANCE).write_text(document + "\n", encoding="utf-8")
        papers.append(PROVENANCE)
    assets = _with(assets, *papers)
    (assets.root / CHECKSUMS).write_text(render_checksums(assets.digests), encoding="utf-8")
    assets = _with(assets, CHECKSUMS)
    expected = expected_of(assets, expectation)
    checks = _run(assets, expected, [one for one in REQUIREMENTS if one.id not in _OF_THE_REPORT])
    # The report holds the checks of the report: it is written, checked, and written again with their outcome.
    _write_report(assets, expected, Result(checks=checks), plan)
    written = _with(assets, REPORT, REPORT_TEXT)
    result = Result(checks=checks + _run(written, expected, [one for one in REQUIREMENTS if one.id in _OF_THE_REPORT]))
    _write_report(assets, expected, result, plan)
    return result


def _write_report(assets: Assets, expected: Expectation, result: Result, plan: Any) -> None:
    report = make_report(assets, expected, result, plan)
    document = json.dumps(report.model_dump(mode="json"), indent=2, sort_keys=False, ensure_ascii=False)
    (assets.root / REPORT).write_text(document + "\n", encoding="utf-8")
    (assets.root / REPORT_TEXT).write_text(render_report(report), encoding="utf-8")


def _with(assets: Assets, *names: str) -> Assets:
    """Returns the same assets with files that were just written, without reading all the others again."""
    written = [inspect_path(assets.root / name).model_copy(update={"name": name}) for name in names]
    others = [node for node in assets.inspection.contents if node.name not in names]
    return Assets(assets.inspection.model_copy(update={"contents": (*others, *written)}), assets.root)
