"""Reads a profile from YAML. Unknown fields are accepted silently, as the real imager does."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from yaml.nodes import Node, ScalarNode

from . import goyaml
from .errors import ImagerError
from .meta import MetaContents, MetaValue
from .profile import (
    PCR_SIGNER_FIELDS,
    SIGNER_FIELDS,
    Bootloader,
    ContainerAsset,
    Customization,
    DiskFormat,
    EnrollKeys,
    ImageOptions,
    Input,
    IsoOptions,
    OutFormat,
    Output,
    OutputKind,
    Overlay,
    Profile,
    SecureBootAssets,
)

if TYPE_CHECKING:
    from .contract import Contract

_E = TypeVar("_E", bound=Enum)


def parse_profile(text: str, contract: Contract) -> Profile:
    """Reads a profile from YAML.

    Raises ImagerError, with the line that does not fit.
    """
    try:
        return _profile(goyaml.items(goyaml.compose(text)), contract)
    except ImagerError as error:
        raise ImagerError(f"the profile can't be read: {error}") from None


def _profile(root: dict[str, Node], contract: Contract) -> Profile:
    reader = _Reader(contract)
    return Profile(
        base_profile_name=reader.text(root, "baseProfileName"),
        arch=reader.text(root, "arch"),
        platform=reader.text(root, "platform"),
        secure_boot=reader.optional_boolean(root, "secureboot"),
        name=reader.text(root, "name") if contract.names else "",
        version=reader.text(root, "version"),
        customization=reader.customization(root, embeds=contract.embeds),
        input=reader.input(root),
        overlay=reader.overlay(root),
        output=reader.output(root),
    )


class _Reader:
    """Turns the nodes of a profile into values."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def text(self, parent: dict[str, Node], key: str) -> str:
        return goyaml.text(parent[key]) if key in parent else ""

    def optional_boolean(self, parent: dict[str, Node], key: str) -> bool | None:
        if key not in parent or goyaml.is_null(parent[key]):
            return None
        return goyaml.boolean(parent[key])

    def enum(self, parent: dict[str, Node], key: str, default: _E) -> _E:
        node = parent.get(key)
        if node is None or (goyaml.is_null(node) and getattr(node, "style", None) is None):
            return default
        kind = type(default)
        for member in kind:
            if isinstance(node, ScalarNode) and member.value == node.value.lower():
                return member
        return goyaml.refuse(node, " or ".join(member.value for member in kind))

    def bootloader(self, parent: dict[str, Node]) -> Bootloader:
        """Reads a boot loader; v1.11.3 knows no `none`, its `dual-boot` is what counts when nothing is said."""
        newer = self._contract.chooses_iso_bootloader
        node = parent.get("bootloader")
        if not newer and isinstance(node, ScalarNode) and node.value.lower() == Bootloader.NONE.value:
            goyaml.refuse(node, "a boot loader")
        chosen = self.enum(parent, "bootloader", Bootloader.NONE)
        return chosen if newer or chosen is not Bootloader.DUAL_BOOT else Bootloader.NONE

    def sector_size(self, parent: dict[str, Node]) -> int:
        """Reads a disk image's sector size, which older imagers pass over as any field that they do not know."""
        known = self._contract.chooses_sector_size and "diskSectorSize" in parent
        return goyaml.integer(parent["diskSectorSize"]) if known else 0

    def image_enrollment(self, parent: dict[str, Node]) -> EnrollKeys:
        """Reads when a disk image's keys are enrolled; so with older imagers."""
        known = self._contract.disks_enroll_keys
        return self.enum(parent, "sdBootEnrollKeys", EnrollKeys.IF_SAFE) if known else EnrollKeys.IF_SAFE

    def section(self, parent: dict[str, Node], key: str) -> dict[str, Node]:
        return goyaml.items(parent[key]) if key in parent else {}

    def asset(self, fields: dict[str, Node]) -> ContainerAsset:
        return ContainerAsset(
            image_ref=self.text(fields, "imageRef"),
            force_insecure=bool(self.optional_boolean(fields, "forceInsecure")),
            tarball_path=self.text(fields, "tarballPath"),
            oci_path=self.text(fields, "ociPath"),
        )

    def input(self, root: dict[str, Node]) -> Input:
        fields = self.section(root, "input")
        paths = {
            key: self.text(self.section(fields, key), "path") for key in ("kernel", "initramfs", "sdStub", "sdBoot")
        }
        images = {
            key: self.asset(self.section(fields, key)) for key in ("baseInstaller", "imageCache", "overlayInstaller")
        }
        extensions = fields.get("systemExtensions")
        nodes = goyaml.elements(extensions) if extensions else []
        return Input(
            kernel=paths["kernel"],
            initramfs=paths["initramfs"],
            sd_stub=paths["sdStub"],
            sd_boot=paths["sdBoot"],
            base_installer=images["baseInstaller"],
            image_cache=images["imageCache"],
            overlay_installer=images["overlayInstaller"],
            secure_boot=self.secure_boot(fields),
            system_extensions=[self.asset(goyaml.items(node)) for node in nodes],
        )

    def secure_boot(self, parent: dict[str, Node]) -> SecureBootAssets | None:
        if "secureboot" not in parent or goyaml.is_null(parent["secureboot"]):
            return None
        fields = self.section(parent, "secureboot")
        signer = self.section(fields, "secureBootSigner")
        pcr_signer = self.section(fields, "pcrSigner")
        return SecureBootAssets(
            signer={key: text for key in SIGNER_FIELDS if (text := self.text(signer, key))},
            pcr_signer={key: text for key in PCR_SIGNER_FIELDS if (text := self.text(pcr_signer, key))},
            platform_key=self.text(fields, "platformKeyPath"),
            key_exchange_key=self.text(fields, "keyExchangeKeyPath"),
            signature_key=self.text(fields, "signatureKeyPath"),
            well_known_certs=bool(self.optional_boolean(fields, "includeWellKnownCerts")),
        )

    def overlay(self, root: dict[str, Node]) -> Overlay | None:
        if "overlay" not in root or goyaml.is_null(root["overlay"]):
            return None
        fields = self.section(root, "overlay")
        options = goyaml.mapping(fields["options"]) if "options" in fields else {}
        if options is None:
            goyaml.refuse(fields["options"], "a mapping")
        return Overlay(
            name=self.text(fields, "name"),
            image=self.asset(self.section(fields, "image")),
            options=options or {},
        )

    def customization(self, root: dict[str, Node], *, embeds: bool) -> Customization:
        fields = self.section(root, "customization")
        arguments = fields.get("extraKernelArgs")
        values = fields.get("metaContents")
        meta = MetaContents()
        for node in goyaml.elements(values) if values else []:
            item = goyaml.items(node)
            key = goyaml.integer(item["key"]) if "key" in item else 0
            meta.append(MetaValue(key, self.text(item, "value")))
        return Customization(
            extra_kernel_args=[goyaml.text(node) for node in (goyaml.elements(arguments) if arguments else [])],
            meta_contents=meta,
            embedded_machine_configuration=self.text(fields, "embeddedMachineConfiguration") if embeds else "",
        )

    def output(self, root: dict[str, Node]) -> Output:
        fields = self.section(root, "output")
        image = iso = None
        if "imageOptions" in fields and not goyaml.is_null(fields["imageOptions"]):
            options = self.section(fields, "imageOptions")
            size = options.get("diskSize")
            image = ImageOptions(
                disk_size=goyaml.integer(size) if size else 0,
                disk_format=self.enum(options, "diskFormat", DiskFormat.UNKNOWN),
                disk_format_options=self.text(options, "diskFormatOptions"),
                disk_sector_size=self.sector_size(options),
                bootloader=self.bootloader(options),
                enroll_keys=self.image_enrollment(options),
            )
        if "isoOptions" in fields and not goyaml.is_null(fields["isoOptions"]):
            options = self.section(fields, "isoOptions")
            iso = IsoOptions(
                enroll_keys=self.enum(options, "sdBootEnrollKeys", EnrollKeys.IF_SAFE),
                bootloader=self.bootloader(options),
            )
        return Output(
            kind=self.enum(fields, "kind", OutputKind.UNKNOWN),
            out_format=self.enum(fields, "outFormat", OutFormat.UNKNOWN),
            image_options=image,
            iso_options=iso,
        )
