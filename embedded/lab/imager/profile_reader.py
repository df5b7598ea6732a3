"""Reads a profile from YAML. Unknown fields are accepted silently, as the real imager does."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from yaml.nodes import Node, ScalarNode

from . import goyaml
from .goyaml import Problems
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

# The Go types that the errors of these fields name.
_GO_ENUMS: dict[type[Enum], str] = {
    OutputKind: "OutputKind",
    OutFormat: "OutFormat",
    DiskFormat: "DiskFormat",
    EnrollKeys: "SDBootEnrollKeys",
}
_E = TypeVar("_E", bound=Enum)


def parse_profile(text: str, contract: Contract) -> Profile:
    """Reads a profile from YAML.

    Raises ImagerError with the words of the imager's own YAML parser.
    """
    problems = Problems(v4=contract.yaml_v4)
    root = goyaml.items(goyaml.compose(text, v4=contract.yaml_v4), "profile.Profile", problems)
    reader = _Reader(problems, contract)
    profile = Profile(
        base_profile_name=reader.text(root, "baseProfileName"),
        arch=reader.text(root, "arch"),
        platform=reader.text(root, "platform"),
        secure_boot=reader.optional_boolean(root, "secureboot"),
        name=reader.text(root, "name") if contract.names_and_embeds else "",
        version=reader.text(root, "version"),
        customization=reader.customization(root, embeds=contract.names_and_embeds),
        input=reader.input(root),
        overlay=reader.overlay(root),
        output=reader.output(root),
    )
    problems.raise_if_any()
    return profile


class _Reader:
    """Turns the nodes of a profile into values."""

    def __init__(self, problems: Problems, contract: Contract) -> None:
        self._problems = problems
        self._contract = contract

    def text(self, parent: dict[str, Node], key: str) -> str:
        return goyaml.text(parent[key], self._problems) if key in parent else ""

    def optional_boolean(self, parent: dict[str, Node], key: str) -> bool | None:
        if key not in parent or goyaml.is_null(parent[key]):
            return None
        return goyaml.boolean(parent[key], self._problems)

    def enum(self, parent: dict[str, Node], key: str, default: _E) -> _E:
        node = parent.get(key)
        if node is None or (goyaml.is_null(node) and getattr(node, "style", None) is None):
            return default
        kind = type(default)
        if not isinstance(node, ScalarNode):
            self._problems.bad_type(node, f"profile.{self.go_enum(kind)}")
            return default
        for member in kind:
            if member.value == node.value.lower():
                return member
        self._problems.bad_enum(node, self.go_enum(kind))
        return default

    def bootloader(self, parent: dict[str, Node]) -> Bootloader:
        """Reads a boot loader; v1.11.3 knows no `none`, its `dual-boot` is what counts when nothing is said."""
        newer = self._contract.chooses_iso_bootloader
        node = parent.get("bootloader")
        if not newer and isinstance(node, ScalarNode) and node.value.lower() == Bootloader.NONE.value:
            self._problems.bad_enum(node, self._contract.bootloader_type)
        chosen = self.enum(parent, "bootloader", Bootloader.NONE)
        return chosen if newer or chosen is not Bootloader.DUAL_BOOT else Bootloader.NONE

    def go_enum(self, kind: type[Enum]) -> str:
        return self._contract.bootloader_type if kind is Bootloader else _GO_ENUMS[kind]

    def section(self, parent: dict[str, Node], key: str, go_type: str) -> dict[str, Node]:
        return goyaml.items(parent[key], f"profile.{go_type}", self._problems) if key in parent else {}

    def asset(self, fields: dict[str, Node]) -> ContainerAsset:
        return ContainerAsset(
            image_ref=self.text(fields, "imageRef"),
            force_insecure=bool(self.optional_boolean(fields, "forceInsecure")),
            tarball_path=self.text(fields, "tarballPath"),
            oci_path=self.text(fields, "ociPath"),
        )

    def input(self, root: dict[str, Node]) -> Input:
        fields = self.section(root, "input", "Input")
        paths = {
            key: self.text(self.section(fields, key, "FileAsset"), "path")
            for key in ("kernel", "initramfs", "sdStub", "sdBoot")
        }
        images = {
            key: self.asset(self.section(fields, key, "ContainerAsset"))
            for key in ("baseInstaller", "imageCache", "overlayInstaller")
        }
        extensions = fields.get("systemExtensions")
        nodes = goyaml.elements(extensions, "[]profile.ContainerAsset", self._problems) if extensions else []
        return Input(
            kernel=paths["kernel"],
            initramfs=paths["initramfs"],
            sd_stub=paths["sdStub"],
            sd_boot=paths["sdBoot"],
            base_installer=images["baseInstaller"],
            image_cache=images["imageCache"],
            overlay_installer=images["overlayInstaller"],
            secure_boot=self.secure_boot(fields),
            system_extensions=[
                self.asset(goyaml.items(node, "profile.ContainerAsset", self._problems)) for node in nodes
            ],
        )

    def secure_boot(self, parent: dict[str, Node]) -> SecureBootAssets | None:
        if "secureboot" not in parent or goyaml.is_null(parent["secureboot"]):
            return None
        fields = self.section(parent, "secureboot", "SecureBootAssets")
        signer = self.section(fields, "secureBootSigner", "SigningKeyAndCertificate")
        pcr_signer = self.section(fields, "pcrSigner", "SigningKey")
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
        fields = self.section(root, "overlay", "OverlayOptions")
        options = goyaml.mapping(fields["options"]) if "options" in fields else {}
        if options is None:
            self._problems.bad_type(fields["options"], "overlay.ExtraOptions")
        return Overlay(
            name=self.text(fields, "name"),
            image=self.asset(self.section(fields, "image", "ContainerAsset")),
            options=options or {},
        )

    def customization(self, root: dict[str, Node], *, embeds: bool) -> Customization:
        fields = self.section(root, "customization", "CustomizationProfile")
        arguments = fields.get("extraKernelArgs")
        values = fields.get("metaContents")
        meta = MetaContents()
        for node in goyaml.elements(values, "meta.Values", self._problems) if values else []:
            item = goyaml.items(node, "meta.Value", self._problems)
            key = goyaml.integer(item["key"], "uint8", self._problems) if "key" in item else 0
            meta.append(MetaValue(key, self.text(item, "value")))
        return Customization(
            extra_kernel_args=[
                goyaml.text(node, self._problems)
                for node in (goyaml.elements(arguments, "[]string", self._problems) if arguments else [])
            ],
            meta_contents=meta,
            embedded_machine_configuration=self.text(fields, "embeddedMachineConfiguration") if embeds else "",
        )

    def output(self, root: dict[str, Node]) -> Output:
        fields = self.section(root, "output", "Output")
        image = iso = None
        if "imageOptions" in fields and not goyaml.is_null(fields["imageOptions"]):
            options = self.section(fields, "imageOptions", "ImageOptions")
            size = options.get("diskSize")
            image = ImageOptions(
                disk_size=goyaml.integer(size, "int64", self._problems) if size else 0,
                disk_format=self.enum(options, "diskFormat", DiskFormat.UNKNOWN),
                disk_format_options=self.text(options, "diskFormatOptions"),
                bootloader=self.bootloader(options),
            )
        if "isoOptions" in fields and not goyaml.is_null(fields["isoOptions"]):
            options = self.section(fields, "isoOptions", "ISOOptions")
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
