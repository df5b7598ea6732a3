"""Names of files that several rooms use: those next to the assets, and those that Talos looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

#: List of all files, as `sha256sum` writes it.
CHECKSUMS: Final = "checksums.sha256"

#: Folder of what is written about the assets.
VALIDATION: Final = "validation/"
REPORT: Final = "validation/build-report.json"
REPORT_TEXT: Final = "validation/build-report.txt"
REPORT_PAGE: Final = "validation/build-report.html"
SBOM: Final = "validation/sbom.spdx.json"
PROVENANCE: Final = "validation/provenance.json"
SIGNATURES: Final = "validation/signatures.json"

#: First line of what is said of assets that are made from stand-ins.
STAND_IN_LINE: Final = "STAND-IN: made from the lab's stand-in images. Not for real machines, not to be published."

#: Not in the list of checksums: the list itself, and the report, which says whether the list is true.
UNLISTED: Final = (CHECKSUMS, REPORT, REPORT_TEXT, REPORT_PAGE)

#: End of the name of a file's detached signature, a Sigstore bundle next to the file.
BUNDLE: Final = ".sigstore.json"


def is_signature(path: str, paths: Container[str]) -> bool:
    """Return whether a path is that of the detached signature of one of some files."""
    return path.endswith(BUNDLE) and path.removesuffix(BUNDLE) in paths


def checksummed(paths: Iterable[str]) -> list[str]:
    """Return those of all paths that the list of checksums has, in order.

    A signature is not in it: it is of other bytes every time, and says itself which file it is for.
    """
    known = frozenset(paths)
    return [path for path in sorted(known) if path not in UNLISTED and not is_signature(path, known)]


#: Marks assets that are made from stand-ins.
STAND_IN: Final = "STAND-IN.txt"

#: Talos's root file system in an initramfs.
BASE_IMAGE: Final = "rootfs.sqsh"
#: List of the extensions in an initramfs, which Talos mounts by it.
EXTENSIONS_YAML: Final = "extensions.yaml"
#: Index of the extensions' kernel modules, which the imager adds as a layer.
MODULES_INDEX: Final = "modules.dep"
MODULES_IMAGE: Final = f"{MODULES_INDEX}.sqsh"
