"""The image profile: what stdin asks for, and its echo.

Field names and orders are the real imager's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import goyaml
from .errors import ImagerError
from .meta import MetaContents


class OutputKind(Enum):
    """What to build; the value is the profile's word."""

    UNKNOWN = "unknown"
    ISO = "iso"
    IMAGE = "image"
    INSTALLER = "installer"
    KERNEL = "kernel"
    INITRAMFS = "initramfs"
    UKI = "uki"
    CMDLINE = "cmdline"

    @property
    def needs_initramfs(self) -> bool:
        """Tells whether the initramfs is part of it."""
        return self not in {OutputKind.KERNEL, OutputKind.CMDLINE}

    @property
    def needs_uki(self) -> bool:
        """Tells whether a UKI is it or is part of it."""
        return self in {OutputKind.UKI, OutputKind.ISO, OutputKind.IMAGE, OutputKind.INSTALLER}


class OutFormat(Enum):
    """How to compress it; the value is the profile's word."""

    UNKNOWN = "unknown"
    RAW = "raw"
    TAR = ".tar.gz"
    XZ = ".xz"
    GZ = ".gz"
    ZSTD = ".zst"


class DiskFormat(Enum):
    """A disk image's format; the value is the profile's word and the file's ending."""

    UNKNOWN = "unknown"
    RAW = "raw"
    QCOW2 = "qcow2"
    VPC = "vhd"
    OVA = "ova"


class Bootloader(Enum):
    """What a disk or ISO image boots by."""

    NONE = "none"
    DUAL_BOOT = "dual-boot"
    SD_BOOT = "sd-boot"
    GRUB = "grub"


class EnrollKeys(Enum):
    """When systemd-boot may enroll Secure Boot keys."""

    IF_SAFE = "if-safe"
    MANUAL = "manual"
    FORCE = "force"
    OFF = "off"


@dataclass(frozen=True)
class ContainerAsset:
    """An image: by reference, or as a file (`tarballPath`), or as an OCI layout (`ociPath`)."""

    image_ref: str = ""
    force_insecure: bool = False
    tarball_path: str = ""
    oci_path: str = ""

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        optional = {
            "forceInsecure": self.force_insecure,
            "tarballPath": self.tarball_path,
            "ociPath": self.oci_path,
        }
        return {"imageRef": self.image_ref} | {key: value for key, value in optional.items() if value}


@dataclass
class Customization:
    """What a user adds to an image."""

    extra_kernel_args: list[str] = field(default_factory=list[str])
    meta_contents: MetaContents = field(default_factory=MetaContents)
    embedded_machine_configuration: str = ""

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form, empty fields left out."""
        return _without_empty(
            {
                "extraKernelArgs": self.extra_kernel_args,
                "metaContents": [{"key": item.key, "value": item.value} for item in self.meta_contents],
                "embeddedMachineConfiguration": self.embedded_machine_configuration,
            }
        )


SIGNER_FIELDS = (
    *("keyPath", "certPath", "azureVaultURL", "azureCertificateID"),
    *("awsKMSKeyID", "awsRegion", "awsCertPath", "awsCertARN"),
)
PCR_SIGNER_FIELDS = ("keyPath", "azureVaultURL", "azureKeyID", "azureKeyVersion", "awsKMSKeyID", "awsRegion")


@dataclass
class SecureBootAssets:
    """Keys to sign with, each signer by its fields that are set, and variables to enroll."""

    signer: dict[str, str] = field(default_factory=dict[str, str])
    pcr_signer: dict[str, str] = field(default_factory=dict[str, str])
    platform_key: str = ""
    key_exchange_key: str = ""
    signature_key: str = ""
    well_known_certs: bool = False

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        return {"secureBootSigner": self.signer, "pcrSigner": self.pcr_signer} | _without_empty(
            {
                "platformKeyPath": self.platform_key,
                "keyExchangeKeyPath": self.key_exchange_key,
                "signatureKeyPath": self.signature_key,
                "includeWellKnownCerts": self.well_known_certs,
            }
        )


@dataclass
class Input:
    """The files and images to build from; paths are inside the imager's own container."""

    kernel: str = ""
    initramfs: str = ""
    sd_stub: str = ""
    sd_boot: str = ""
    base_installer: ContainerAsset = ContainerAsset()
    image_cache: ContainerAsset = ContainerAsset()
    overlay_installer: ContainerAsset = ContainerAsset()
    secure_boot: SecureBootAssets | None = None
    system_extensions: list[ContainerAsset] = field(default_factory=list[ContainerAsset])

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        files = {"kernel": self.kernel, "initramfs": self.initramfs, "sdStub": self.sd_stub, "sdBoot": self.sd_boot}
        return {key: {"path": path} for key, path in files.items()} | _without_empty(
            {
                "baseInstaller": _echo_image(self.base_installer),
                "imageCache": _echo_image(self.image_cache),
                "overlayInstaller": _echo_image(self.overlay_installer),
                "secureboot": None if self.secure_boot is None else self.secure_boot.echo(),
                "systemExtensions": [asset.echo() for asset in self.system_extensions],
            }
        )


@dataclass
class Overlay:
    """What a board needs beside Talos: the name of one of an image's installers, that image, and its options."""

    name: str = ""
    image: ContainerAsset = ContainerAsset()
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        return {"name": self.name, "image": self.image.echo()} | _without_empty({"options": self.options})


@dataclass
class ImageOptions:
    """Options of a disk image; the size is in bytes."""

    disk_size: int = 0
    disk_format: DiskFormat = DiskFormat.UNKNOWN
    disk_format_options: str = ""
    disk_sector_size: int = 0
    bootloader: Bootloader = Bootloader.NONE
    enroll_keys: EnrollKeys = EnrollKeys.IF_SAFE

    @property
    def boots_by(self) -> Bootloader:
        """What it boots by: v1.11.3 has no word for none, and dual-boot where nothing is said."""
        return Bootloader.DUAL_BOOT if self.bootloader is Bootloader.NONE else self.bootloader

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        return {"diskSize": self.disk_size} | _without_empty(
            {
                "diskFormat": "" if self.disk_format is DiskFormat.UNKNOWN else self.disk_format.value,
                "diskFormatOptions": self.disk_format_options,
                "diskSectorSize": self.disk_sector_size,
                "bootloader": "" if self.bootloader is Bootloader.NONE else self.bootloader.value,
                "sdBootEnrollKeys": "" if self.enroll_keys is EnrollKeys.IF_SAFE else self.enroll_keys.value,
            }
        )


@dataclass
class IsoOptions:
    """Options of an ISO image."""

    enroll_keys: EnrollKeys = EnrollKeys.IF_SAFE
    bootloader: Bootloader = Bootloader.NONE

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        bootloader = {} if self.bootloader is Bootloader.NONE else {"bootloader": self.bootloader.value}
        return {"sdBootEnrollKeys": self.enroll_keys.value} | bootloader


@dataclass
class Output:
    """What comes out."""

    kind: OutputKind = OutputKind.UNKNOWN
    out_format: OutFormat = OutFormat.UNKNOWN
    image_options: ImageOptions | None = None
    iso_options: IsoOptions | None = None

    def echo(self) -> dict[str, Any]:
        """Returns the profile's form."""
        options: dict[str, Any] = {}
        if self.image_options is not None:
            options["imageOptions"] = self.image_options.echo()
        if self.iso_options is not None:
            options["isoOptions"] = self.iso_options.echo()
        return {"kind": self.kind.value} | options | {"outFormat": self.out_format.value}


@dataclass
class Profile:
    """One build."""

    base_profile_name: str = ""
    arch: str = ""
    platform: str = ""
    secure_boot: bool | None = None
    name: str = ""
    version: str = ""
    customization: Customization = field(default_factory=Customization)
    input: Input = field(default_factory=Input)
    overlay: Overlay | None = None
    output: Output = field(default_factory=Output)

    def echo(self) -> str:
        """Returns the profile as the imager prints it before it starts."""
        head: dict[str, Any] = {"arch": self.arch, "platform": self.platform, "secureboot": self.secure_boot}
        if self.name:
            head["name"] = self.name
        head["version"] = self.version
        if customization := self.customization.echo():
            head["customization"] = customization
        head["input"] = self.input.echo()
        if self.overlay is not None:
            head["overlay"] = self.overlay.echo()
        return goyaml.dump(head | {"output": self.output.echo()}, indent=2)

    @property
    def file_name(self) -> str:
        """The name of the output file, before any compression."""
        machine = f"{self.arch}-secureboot" if self.secure_boot else self.arch
        stem = f"{self.platform}-{machine}"
        match self.output.kind:
            case OutputKind.ISO:
                return f"{stem}.iso"
            case OutputKind.IMAGE:
                options = self.output.image_options or ImageOptions()
                return f"{stem}.{options.disk_format.value}"
            case OutputKind.INSTALLER:
                return f"installer-{machine}.tar"
            case OutputKind.KERNEL:
                return f"kernel-{self.arch}"
            case OutputKind.INITRAMFS:
                return f"initramfs-{stem}.xz"
            case OutputKind.UKI:
                return f"{stem}-uki.efi"
            case OutputKind.CMDLINE:
                return f"cmdline-{stem}"
            case OutputKind.UNKNOWN:
                raise ImagerError("unknown output kind: unknown")


def _echo_image(asset: ContainerAsset) -> dict[str, Any] | None:
    return None if asset == ContainerAsset() else asset.echo()


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
