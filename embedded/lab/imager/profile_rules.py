"""What the imager adds to a profile and what it refuses in one."""

from __future__ import annotations

import json

from .contract import Contract, Quirks
from .errors import ImagerError
from .profile import Bootloader, ContainerAsset, ImageOptions, IsoOptions, OutputKind, Profile

MIB = 1 << 20
ARCHITECTURES = ("amd64", "arm64")


def fill_defaults(profile: Profile, contract: Contract) -> None:
    """Completes a profile in place: name, version, input files, boot loader, the disk's growth."""
    if contract.names_and_embeds:
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
    output = profile.output
    if output.kind is OutputKind.IMAGE:
        options = output.image_options = output.image_options or ImageOptions()
        options.bootloader = _bootloader(options.bootloader, quirks)
        # A profile's size is that of a disk with a 1000 MiB boot partition; it has 2000 MiB since Talos v1.11.
        if quirks.since(1, 11):
            options.disk_size += 1000 * MIB
    elif output.kind is OutputKind.ISO and contract.yaml_v4 and quirks.since(1, 12):
        iso = output.iso_options = output.iso_options or IsoOptions()
        iso.bootloader = _bootloader(iso.bootloader, quirks)


def _bootloader(wanted: Bootloader, quirks: Quirks) -> Bootloader:
    """Chooses systemd-boot where the profile leaves it open; the real imager adds GRUB to that on amd64."""
    if wanted is not Bootloader.NONE:
        return wanted
    return Bootloader.SD_BOOT if quirks.boots_by_sd_boot else Bootloader.GRUB


def validate(profile: Profile) -> None:
    """Checks a completed profile.

    Raises ImagerError `profile is invalid: …`.
    """
    if problem := _invalidity(profile):
        raise ImagerError(f"profile is invalid: {problem}")


def _invalidity(profile: Profile) -> str | None:
    kind = profile.output.kind
    if profile.arch not in ARCHITECTURES:
        return f"invalid arch {json.dumps(profile.arch)}"
    if not profile.platform:
        return "platform is required"
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
