"""The imager's profile documents, one per run.

Everything is a file: the imager needs no network. The pipeline mounts the files where the constants below say.
Upstream's documents are amd64; these are rendered anew for the architecture, so that no path of another one can stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from ci.common.kinds import KINDS, Initramfs
from ci.plan.quirks import OVERLAY_BOOT_LOADER, install_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.plan.model import Plan, PlannedOutput, PlannedOverlay
    from ci.resolve.model import PlannedExtension

Document: TypeAlias = dict[str, Any]

#: Folder of the extensions' root file systems, each an uncompressed tar `<name>.tar`.
EXTENSIONS_DIR = "/in/extensions"
#: The initramfs with all extensions in it, for the outputs that embed it.
INITRAMFS_PATH = "/in/initramfs.xz"
#: OCI layout of the installer base; the descriptor in its index.json needs a platform.
INSTALLER_BASE_DIR = "/in/installer-base"
#: Folder of a board's overlay, one uncompressed tar `<arch>.tar` for each architecture.
OVERLAY_DIR = "/in/overlay"
#: Folder of the keys for secure boot.
KEYS_DIR = "/in/secureboot"
SIGNING_KEY, SIGNING_CERT, PCR_KEY = (f"{KEYS_DIR}/{name}" for name in ("key.pem", "cert.pem", "pcr-key.pem"))
#: Signed variables that firmware enrols: platform key, key exchange key, signature database.
ENROLMENT = {"platformKeyPath": "PK.auth", "keyExchangeKeyPath": "KEK.auth", "signatureKeyPath": "db.auth"}
#: Where the imager writes.
OUT_DIR = "/out"

#: Name of the run that builds the initramfs.
INITRAMFS_RUN = "initramfs"


def extension_path(extension: PlannedExtension) -> str:
    """Return where the pipeline mounts an extension's tar."""
    return f"{EXTENSIONS_DIR}/{extension.name}.tar"


def profiles(plan: Plan) -> dict[str, Document]:
    """Return the document of each imager run, by name.

    A run's name is its output's without compression (`metal` for metal.raw.xz and metal.raw.zst, which share a run).
    The initramfs has a run where any output embeds it, asked for or not; it comes first.
    """
    runs: dict[str, Document] = {}
    if plan.builds_initramfs:
        runs[INITRAMFS_RUN] = initramfs_profile(plan)
    for output in plan.outputs:
        runs.setdefault(output.kind_name, output_profile(plan, output))
    return runs


def initramfs_profile(plan: Plan) -> Document:
    """Return the document of the run that packs the extensions into the initramfs."""
    profile = _profile(plan, platform="metal")
    if plan.extensions:
        profile["input"]["systemExtensions"] = [{"tarballPath": extension_path(entry)} for entry in plan.extensions]
    profile["output"] = {"kind": KINDS["initramfs"].imager_kind, "outFormat": "raw"}
    return profile


def output_profile(plan: Plan, output: PlannedOutput) -> Document:
    """Return the document of one output's run; it takes the finished initramfs and no extensions."""
    if output.initramfs is Initramfs.BUILT:
        return initramfs_profile(plan)
    profile: Document = _profile(plan, platform=output.platform)
    if output.initramfs is Initramfs.READY:
        # Never with systemExtensions: the imager would append a second list of extensions that hides the first.
        profile["input"]["initramfs"]["path"] = INITRAMFS_PATH
    if output.base_installer:
        # The reference is not pulled, but it becomes the name in the image archive.
        profile["input"]["baseInstaller"] = {
            "imageRef": plan.installer_base.reference,
            "ociPath": INSTALLER_BASE_DIR,
        }
    if output.overlay:
        _add_overlay(profile, plan, output)
    if output.signed:
        _add_keys(profile, plan)
    customization: Document = {}
    if output.extra_kernel_args:
        customization["extraKernelArgs"] = list(output.extra_kernel_args)
    if output.meta:
        customization["metaContents"] = [{"key": meta.key, "value": meta.value} for meta in output.meta]
    if customization:
        profile["customization"] = customization
    options = _image_options(output)
    # A disk image does not become xz: what the imager calls as such leaves it raw (`ci.execute.imager`).
    profile["output"] = {"kind": output.imager_kind, **options, "outFormat": ".xz" if options else "raw"}
    return profile


def _image_options(output: PlannedOutput) -> Document:
    if output.disk_size is None:
        return {}
    options: Document = {"diskSize": output.disk_size, "diskFormat": "raw"}
    if output.disk_sector_size is not None:
        options["diskSectorSize"] = output.disk_sector_size
    if output.overlay:
        options["bootloader"] = OVERLAY_BOOT_LOADER
    return {"imageOptions": options}


def overlay_platforms(overlay: PlannedOverlay) -> tuple[str, ...]:
    """Return the platforms of which an overlay's image is needed, each once."""
    return tuple(dict.fromkeys((overlay.host_platform, overlay.platform)))


def overlay_path(platform: str) -> str:
    """Return where the pipeline mounts the overlay's tar of a platform."""
    return f"{OVERLAY_DIR}/{platform.rpartition('/')[2]}.tar"


def _add_overlay(profile: Document, plan: Plan, output: PlannedOutput) -> None:
    overlay = plan.overlay
    assert overlay is not None
    if output.base_installer:
        profile["input"]["overlayInstaller"] = {"tarballPath": overlay_path(overlay.platform)}
    options = {"options": overlay.options} if overlay.options else {}
    profile["overlay"] = {
        "name": overlay.name,
        "image": {"tarballPath": overlay_path(overlay.host_platform)},
        **options,
    }


def _add_keys(profile: Document, plan: Plan) -> None:
    assert plan.secure_boot is not None
    enrolment = {key: f"{KEYS_DIR}/{name}" for key, name in ENROLMENT.items()} if plan.secure_boot.own_enrolment else {}
    profile["secureboot"] = True
    profile["input"]["secureboot"] = {
        "secureBootSigner": {"keyPath": SIGNING_KEY, "certPath": SIGNING_CERT},
        "pcrSigner": {"keyPath": PCR_KEY},
        **enrolment,
    }


def _profile(plan: Plan, *, platform: str) -> Document:
    return {
        "arch": plan.arch.value,
        "platform": platform,
        "secureboot": False,
        "version": plan.talos_version,
        "input": {
            "kernel": {"path": f"/{install_folder(plan.arch)}vmlinuz"},
            "initramfs": {"path": f"/{install_folder(plan.arch)}initramfs.xz"},
        },
    }


def render(document: Mapping[str, Any]) -> str:
    """Return the YAML text for the imager's standard input."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
