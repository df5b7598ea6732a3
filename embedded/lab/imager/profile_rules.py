"""What the imager adds to a profile and what it refuses in one."""

from __future__ import annotations

import json
from pathlib import Path

from .contract import Contract, Quirks
from .errors import ImagerError
from .profile import Bootloader, ContainerAsset, ImageOptions, IsoOptions, OutputKind, Profile, SecureBootAssets

MIB = 1 << 20
ARCHITECTURES = ("amd64", "arm64")
SECURE_BOOT_FOLDER = Path("/secureboot")


def fill_defaults(profile: Profile, contract: Contract) -> None:
    """Completes a profile in place: name, version, input files, boot loader, the disk's growth."""
    if contract.names:
        profile.name = profile.name or "Talos"
    profile.version = profile.version or contract.tag
    quirks = contract.quirks(profile.version)
    folder = f"/usr/install/{profile.arch}"
    files = profile.input
    files.kernel = files.kernel or f"{folder}/vmlinuz"
    files.initramfs = files.initramfs or f"{folder}/initramfs.xz"
    files.sd_stub = files.sd_stub or f"{folder}/systemd-stub.efi"
    files.sd_boot = files.sd_boot or f"{folder}/systemd-boot.efi"
    if files.base_installer == ContainerAsset():
        image = "installer-base" if quirks.since(1, 10) else "installer"
        files.base_installer = ContainerAsset(image_ref=f"ghcr.io/siderolabs/{image}:{profile.version}")
    if profile.secure_boot:
        files.secure_boot = _with_default_keys(files.secure_boot or SecureBootAssets())
    output = profile.output
    if output.kind is OutputKind.IMAGE:
        options = output.image_options = output.image_options or ImageOptions()
        options.bootloader = _bootloader(options.bootloader, profile, contract, quirks)
        # A profile's size is that of a disk with a 1000 MiB boot partition; it has 2000 MiB since Talos v1.11.
        options.disk_size += (quirks.boot_mib - 1000) * MIB
        if options.boots_by is Bootloader.DUAL_BOOT:
            options.disk_size += (1 + quirks.boot_mib) * MIB
    elif output.kind is OutputKind.ISO and contract.chooses_iso_bootloader and quirks.iso_has_bootloader:
        iso = output.iso_options = output.iso_options or IsoOptions()
        iso.bootloader = _bootloader(iso.bootloader, profile, contract, quirks)


def _bootloader(wanted: Bootloader, profile: Profile, contract: Contract, quirks: Quirks) -> Bootloader:
    """Chooses a boot loader where the profile leaves it open."""
    secure = bool(profile.secure_boot)
    # v1.11.3 lets a profile's own word stand even then.
    if wanted is not Bootloader.NONE and not (secure and contract.chooses_iso_bootloader):
        return wanted
    if secure or (profile.arch == "arm64" and quirks.boots_by_sd_boot):
        return Bootloader.SD_BOOT
    if not quirks.boots_by_sd_boot:
        return Bootloader.GRUB
    return Bootloader.DUAL_BOOT if contract.chooses_iso_bootloader else Bootloader.NONE


def _with_default_keys(assets: SecureBootAssets) -> SecureBootAssets:
    """Completes the keys with those of `/secureboot`; variables to enroll count only if they lie there."""

    def there(name: str) -> str:
        path = SECURE_BOOT_FOLDER / name
        return str(path) if path.exists() else ""

    if not assets.signer:
        assets.signer = {
            "keyPath": str(SECURE_BOOT_FOLDER / "uki-signing-key.pem"),
            "certPath": str(SECURE_BOOT_FOLDER / "uki-signing-cert.pem"),
        }
    if not assets.pcr_signer:
        assets.pcr_signer = {"keyPath": str(SECURE_BOOT_FOLDER / "pcr-signing-key.pem")}
    assets.platform_key = assets.platform_key or there("PK.auth")
    assets.key_exchange_key = assets.key_exchange_key or there("KEK.auth")
    assets.signature_key = assets.signature_key or there("db.auth")
    return assets


def validate(profile: Profile, contract: Contract) -> None:
    """Checks a completed profile.

    Raises ImagerError `profile is invalid: …`.
    """
    if problem := _invalidity(profile, contract):
        raise ImagerError(f"profile is invalid: {problem}")


def _invalidity(profile: Profile, contract: Contract) -> str | None:
    kind = profile.output.kind
    if profile.arch not in ARCHITECTURES:
        return f"invalid arch {json.dumps(profile.arch)}"
    if not profile.platform:
        return "platform is required"
    # v1.11.3 does not ask.
    if profile.secure_boot and contract.chooses_iso_bootloader and not contract.quirks(profile.version).since(1, 5):
        return f"secureboot is not supported for Talos version {json.dumps(profile.version)}"
    if kind is OutputKind.UNKNOWN:
        return "unknown output kind"
    image = profile.output.image_options
    if kind is OutputKind.IMAGE and (image is None or image.disk_size == 0):
        return "disk size is required for image output"
    refuses_arguments = kind in {OutputKind.KERNEL, OutputKind.INITRAMFS}
    if profile.secure_boot and refuses_arguments:
        return f"secureboot is not supported for {kind.value} output"
    if profile.customization.extra_kernel_args and refuses_arguments:
        return f"customization of kernel args is not supported for {kind.value} output"
    if profile.customization.meta_contents and (refuses_arguments or kind is OutputKind.INSTALLER):
        return f"customization of meta partition is not supported for {kind.value} output"
    return None
