"""Ways to break the folder of good assets after it was made: of each the check that is meant for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ci.common.filenames import CHECKSUMS, PROVENANCE, REPORT, REPORT_PAGE, REPORT_TEXT, SBOM
from tests.unit.inspect import samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rewrite(root: Path, name: str, change: Callable[[str], str]) -> None:
    (root / name).write_text(change((root / name).read_text()))


def checksum_line_missing(root: Path) -> None:
    rewrite(root, CHECKSUMS, lambda text: "".join(text.splitlines(keepends=True)[1:]))


def checksum_line_twice(root: Path) -> None:
    rewrite(root, CHECKSUMS, lambda text: text + text.splitlines(keepends=True)[0])


def checksum_of_a_file_that_is_not_there(root: Path) -> None:
    rewrite(root, CHECKSUMS, lambda text: f"{text}{'0' * 64}  boot/gone\n")


def checksum_file_missing(root: Path) -> None:
    (root / CHECKSUMS).unlink()


def checksum_file_that_is_none(root: Path) -> None:
    (root / CHECKSUMS).write_text("no checksums here\n")


def checksum_untrue(root: Path) -> None:
    rewrite(root, CHECKSUMS, lambda text: "0" * 64 + text[64:])


def file_beside(root: Path) -> None:
    (root / "boot/extra").write_bytes(b"x")
    rewrite(root, CHECKSUMS, lambda text: f"{text}{samples.sha(b'x')}  boot/extra\n")
    report = json.loads((root / REPORT).read_text())
    report["files"].append({"path": "boot/extra", "kind": "text", "size": 1, "sha256": samples.sha(b"x")})
    (root / REPORT).write_text(json.dumps(report))


def link_beside(root: Path) -> None:
    (root / "boot/latest").symlink_to("/etc/passwd")


def report_missing(root: Path) -> None:
    (root / REPORT).unlink()


def report_names_another_extension_version(root: Path) -> None:
    rewrite(root, REPORT, lambda text: text.replace('"v0.21.0"', '"v0.22.0"'))


def report_that_is_no_report(root: Path) -> None:
    (root / REPORT).write_text("{}")


def report_that_claims_stand_ins(root: Path) -> None:
    rewrite(root, REPORT_TEXT, lambda text: f"STAND-IN: made from the lab's stand-in images. {text}")


def rewrite_truly(root: Path, name: str, old: str, new: str) -> None:
    """Replaces words by as long ones, and makes checksums and report true of it."""
    assert len(old) == len(new)
    before = samples.sha((root / name).read_bytes())
    rewrite(root, name, lambda text: text.replace(old, new))
    after = samples.sha((root / name).read_bytes())
    assert before != after
    for other in (CHECKSUMS, REPORT):
        rewrite(root, other, lambda text: text.replace(before, after))


def sbom_without_an_extension(root: Path) -> None:
    rewrite_truly(root, SBOM, '"name": "spin"', '"name": "spun"')


def provenance_of_another_file(root: Path) -> None:
    rewrite_truly(root, PROVENANCE, '"boot/vmlinuz"', '"boot/vmlinux"')


def provenance_with_an_input_of_unknown_digest(root: Path) -> None:
    digest = "0" * 63 + "1"
    rewrite_truly(root, PROVENANCE, f'"sha256": "{digest}"', " " * (len(digest) + 12))


def provenance_that_is_none(root: Path) -> None:
    rewrite_truly(root, PROVENANCE, '"subject"', '"sobject"')


def provenance_without_inputs(root: Path) -> None:
    before = samples.sha((root / PROVENANCE).read_bytes())
    document = json.loads((root / PROVENANCE).read_text())
    document["predicate"]["buildDefinition"]["resolvedDependencies"] = []
    (root / PROVENANCE).write_text(json.dumps(document).ljust((root / PROVENANCE).stat().st_size))
    for other in (CHECKSUMS, REPORT):
        rewrite(root, other, lambda text: text.replace(before, samples.sha((root / PROVENANCE).read_bytes())))


def report_of_another_variant(root: Path) -> None:
    rewrite(root, REPORT, lambda text: text.replace('"variant": "spin-only"', '"variant": "spin-both"', 1))


def report_page_missing(root: Path) -> None:
    (root / REPORT_PAGE).unlink()


def report_page_that_claims_stand_ins(root: Path) -> None:
    rewrite(root, REPORT_PAGE, lambda text: text.replace("<h1>", '<div class="stand-in">STAND-IN</div><h1>'))


def report_text_missing(root: Path) -> None:
    (root / REPORT_TEXT).unlink()


BROKEN_LATER: list[tuple[Callable[[Path], None], str, str]] = [
    (checksum_line_missing, "checksums.complete", "boot/initramfs.xz is not listed"),
    (checksum_line_twice, "checksums.complete", "boot/initramfs.xz is listed 2 times"),
    (checksum_of_a_file_that_is_not_there, "checksums.complete", "boot/gone is listed, but is not there"),
    (checksum_file_missing, "checksums.complete", "checksums.sha256 is missing"),
    (checksum_file_that_is_none, "checksums.complete", "is no line of sha256sum"),
    (checksum_untrue, "checksums.true", "boot/initramfs.xz: 000000000000"),
    (file_beside, "layout.nothing-else", "boot/extra is not in the plan"),
    (link_beside, "layout.nothing-else", "boot/latest is a symlink"),
    (report_missing, "report.agrees", "validation/build-report.json is missing"),
    (report_names_another_extension_version, "report.agrees", "spin v0.22.0"),
    (report_that_is_no_report, "report.agrees", "validation/build-report.json"),
    (provenance_of_another_file, "provenance.agrees", "boot/vmlinux is not there, stated is"),
    (provenance_with_an_input_of_unknown_digest, "provenance.agrees", "the input imager has no digest"),
    (provenance_that_is_none, "provenance.agrees", "no provenance statement: KeyError 'subject'"),
    (provenance_without_inputs, "provenance.agrees", "it states no input"),
    (report_of_another_variant, "report.agrees", "variant: spin-both is reported, planned is spin-only"),
    (sbom_without_an_extension, "sbom.complete", "does not name spin v0.21.0"),
    (report_text_missing, "report.agrees", "validation/build-report.txt is missing"),
    (report_page_missing, "report.agrees", "validation/build-report.html is missing"),
    (report_page_that_claims_stand_ins, "report.stand-in", "validation/build-report.html says at its top"),
]
