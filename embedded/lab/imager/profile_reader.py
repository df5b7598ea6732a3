"""Reads a profile from YAML. Unknown fields are accepted silently, as the real imager does."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from yaml.nodes import Node, ScalarNode

from . import goyaml
from .goyaml import Problems
from .meta import MetaContents, MetaValue
from .profile import (
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
    Profile,
)

if TYPE_CHECKING:
    from .contract import Contract

# The Go types that the errors of these fields name.
_GO_ENUMS: dict[type[Enum], str] = {
    OutputKind: "OutputKind",
    OutFormat: "OutFormat",
    DiskFormat: "DiskFormat",
    Bootloader: "BootloaderKind",
    EnrollKeys: "SDBootEnrollKeys",
}
_E = TypeVar("_E", bound=Enum)


def parse_profile(text: str, contract: Contract) -> Profile:
    """Reads a profile from YAML.

    Raises ImagerError with the words of the imager's own YAML parser.
    """
    problems = Problems(v4=contract.yaml_v4)
    root = goyaml.items(goyaml.compose(text, v4=contract.yaml_v4), "profile.Profile", problems)
    reader = _Reader(problems)
    profile = Profile(
        base_profile_name=reader.text(root, "baseProfileName"),
        arch=reader.text(root, "arch"),
        platform=reader.text(root, "platform"),
        secure_boot=reader.optional_boolean(root, "secureboot"),
        name=reader.text(root, "name") if contract.names_and_embeds else "",
        version=reader.text(root, "version"),
        customization=reader.customization(root, embeds=contract.names_and_embeds),
        input=reader.input(root),
        has_overlay="overlay" in root and not goyaml.is_null(root["overlay"]),
        output=reader.output(root),
    )
    problems.raise_if_any()
    return profile


class _Reader:
    """Turns the nodes of a profile into values."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

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
            self._problems.bad_type(node, f"profile.{_GO_ENUMS[kind]}")
            return default
        for member in kind:
            if member.value == node.value.lower():
                return member
        self._problems.bad_enum(node, _GO_ENUMS[kind])
        return default

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
        extensions = fields.get("systemExtensions")
        nodes = goyaml.elements(extensions, "[]profile.ContainerAsset", self._problems) if extensions else []
        return Input(
            kernel=paths["kernel"],
            initramfs=paths["initramfs"],
            sd_stub=paths["sdStub"],
            sd_boot=paths["sdBoot"],
            base_installer=self.asset(self.section(fields, "baseInstaller", "ContainerAsset")),
            system_extensions=[
                self.asset(goyaml.items(node, "profile.ContainerAsset", self._problems)) for node in nodes
            ],
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
                bootloader=self.enum(options, "bootloader", Bootloader.NONE),
            )
        if "isoOptions" in fields and not goyaml.is_null(fields["isoOptions"]):
            options = self.section(fields, "isoOptions", "ISOOptions")
            iso = IsoOptions(
                enroll_keys=self.enum(options, "sdBootEnrollKeys", EnrollKeys.IF_SAFE),
                bootloader=self.enum(options, "bootloader", Bootloader.NONE),
            )
        return Output(
            kind=self.enum(fields, "kind", OutputKind.UNKNOWN),
            out_format=self.enum(fields, "outFormat", OutFormat.UNKNOWN),
            image_options=image,
            iso_options=iso,
        )
