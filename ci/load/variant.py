"""Variants: what a node type carries, one YAML file each.

    name  = a-z, then a-z 0-9 -        the file's name without `.yaml`
    alias = a-z, then a-z 0-9 - +

An added extension is written as a word or as a mapping with a reason:

    spin                               of the extension catalog, in its version
    spin:v0.19.0                       of the catalog's repository, in this version
    ghcr.io/me/mine:v1@sha256:…        one's own image
    {name: spin, version: v0.19.0, reason: …}
    {reference: ghcr.io/me/mine:v1@sha256:…, name: mine, reason: …}
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from ci.common import yamltext
from ci.common.arch import Arch, parse_arch
from ci.common.errors import CozystackTalosError, UserError, VariantError, nearest
from ci.common.paths import TOP
from ci.common.references import Reference, parse_reference
from ci.common.text import is_plain
from ci.common.values import Value
from ci.load.configuration import EXTENSION, Configuration, ExtensionName, Text, must_be_quoted, name_in_catalog
from ci.load.meta import Meta

#: The variants that come with this project.
BUILTIN = TOP / "variants"

#: In place of names: all variants.
ALL = "all"

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_VERSION = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"

#: Keys of texts for programs, which may have any lines: files, META values, environment variables.
_FREE = ("content", "value")

Version = Annotated[str, StringConstraints(pattern=f"^{_VERSION}$")]


class AddedExtension(Value):
    """An extension on top of CozyStack's own set."""

    name: ExtensionName
    version: Annotated[Version | None, BeforeValidator(must_be_quoted)] = None
    #: One's own image, with its digest; else the catalog is asked.
    reference: str | None = None
    reason: Text = "asked for by the variant"

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: object) -> object:
        if isinstance(data, str):
            return _parse_word(data)
        if isinstance(data, Mapping):
            fields = {**cast("Mapping[str, Any]", data)}
            if "reference" in fields and "name" not in fields and isinstance(fields["reference"], str):
                fields["name"] = _own_extension(fields["reference"]).name
            return fields
        raise ValueError(f"write a name, name:version, reference@digest or a mapping, not {data!r}")

    @field_validator("reference")
    @classmethod
    def _pinned(cls, text: str | None) -> str | None:
        return None if text is None else str(_own_extension(text))

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.reference and self.version:
            raise ValueError("give either a reference or a version: the reference's digest already says which")
        return self


def _parse_word(text: str) -> dict[str, Any]:
    if "/" in text or "@" in text:
        reference = _own_extension(text)
        return {"name": reference.name, "reference": str(reference)}
    name, _, version = text.partition(":")
    if not re.fullmatch(EXTENSION, name) or (":" in text and not re.fullmatch(_VERSION, version)):
        raise ValueError(f"bad extension {text!r}: write a name, name:version, or registry/path:tag@sha256:digest")
    return {"name": name, "version": version or None}


def _own_extension(text: str) -> Reference:
    if name := name_in_catalog(text):
        raise ValueError(f"{text!r} has no digest: write {name} for the extension of the catalog")
    return _own(text)


def _own(text: str) -> Reference:
    try:
        reference = parse_reference(text)
    except CozystackTalosError as error:
        raise ValueError(str(error)) from None
    if reference.digest is None:
        raise ValueError(f"reference {text!r} has no digest: add @sha256:… (a tag can change, the plan must not)")
    return reference


class DroppedExtension(Value):
    """An extension of CozyStack's set that this node type does not carry."""

    name: ExtensionName
    reason: Text

    @model_validator(mode="before")
    @classmethod
    def _with_reason(cls, data: object) -> object:
        if isinstance(data, str):
            raise ValueError(f"a drop says why: write `{{name: {data}, reason: …}}`")  # noqa: TRY004
        return data


class Extensions(Value):
    """Changes to CozyStack's own set."""

    add: tuple[AddedExtension, ...] = ()
    drop: tuple[DroppedExtension, ...] = ()


class Overlay(Value):
    """What a single-board computer needs in addition to Talos: boot loader, firmware, device trees."""

    #: With its digest, of an index: the imager runs it on its own platform and puts the nodes' into the installer.
    image: str
    #: Name of the installer in the image, which is often the board's.
    name: ExtensionName
    #: What that installer understands.
    options: dict[str, Any] = Field(default_factory=dict[str, Any])

    @field_validator("image")
    @classmethod
    def _pinned(cls, text: str) -> str:
        return str(_own(text))


class VariantSpec(Value):
    """The contents of a variant file."""

    description: Text
    role: Text
    aliases: tuple[str, ...] = ()
    architectures: tuple[Arch, ...] = tuple(Arch)
    extensions: Extensions = Extensions()
    overlay: Overlay | None = None
    extra_kernel_args: tuple[Text, ...] = ()
    meta: tuple[Meta, ...] = ()
    #: Words that no name in the initramfs may have in it: what must never get into this node type by mistake.
    absent: tuple[Text, ...] = ()
    configuration: Configuration = Configuration()

    @field_validator("architectures", mode="before")
    @classmethod
    def _known_arches(cls, given: object) -> object:
        if isinstance(given, list):
            try:
                return [parse_arch(str(arch)) for arch in cast("list[object]", given)]
            except CozystackTalosError as error:
                raise ValueError(str(error)) from None
        return given

    @field_validator("architectures")
    @classmethod
    def _some_arch(cls, given: tuple[Arch, ...]) -> tuple[Arch, ...]:
        if not given:
            raise ValueError("no architecture is left: leave the key out for all")
        return given

    @field_validator("extra_kernel_args")
    @classmethod
    def _one_argument_each(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for argument in given:
            if len(argument.split()) != 1:
                raise ValueError(f"{argument!r} has a space: write one argument per item")
        return given


@dataclass(frozen=True)
class Variant:
    """A variant with its name, and the file that its errors point into."""

    name: str
    file: str
    spec: VariantSpec
    document: yamltext.Document = field(compare=False, repr=False)

    def error(self, path: yamltext.Path, reason: str) -> VariantError:
        """Make an error that points at `path` in the variant's file, such as `("extensions", "add", 0)`."""
        return VariantError(self.file, self.document.line(path), reason)


@dataclass(frozen=True)
class Variants:
    """All variants that can be asked for, by name."""

    by_name: Mapping[str, Variant]

    def __iter__(self) -> Iterator[Variant]:
        return iter(self.by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names without aliases, sorted."""
        return tuple(self.by_name)

    def get(self, name: str) -> Variant:
        """Return the variant of that name or alias; raises `UserError` with the nearest name, or all."""
        if name in self.by_name:
            return self.by_name[name]
        for variant in self:
            if name in variant.spec.aliases:
                return variant
        # Asked for by its file, most likely.
        asked = re.sub(r"\.ya?ml$", "", name.lower().rpartition("/")[2])
        aliases = (alias for variant in self for alias in variant.spec.aliases)
        if close := nearest(asked, [*self.names, *aliases]):
            raise UserError(f"unknown variant {name!r}: did you mean {close}?")
        raise UserError(
            f"unknown variant {name!r}: choose one of {', '.join(self.names)}, or add variants/{_as_name(asked)}.yaml"
        )

    def chosen(self, text: str) -> tuple[Variant, ...]:
        """Return the variants of some names, separated by commas, each once, or of `all`; raises as `get` does."""
        if asks_for_all(text):
            return tuple(self)
        names = [part.strip() for part in text.split(",") if part.strip()]
        if not names:
            raise UserError(f"no variant is asked for: choose from {', '.join(self.names)}, or {ALL}")
        found = [self.get(name) for name in names]
        return tuple({variant.name: variant for variant in found}.values())

    def merged(self, own: Variants) -> Variants:
        """Return these and `own`; one's own variant takes the place of the one with the same name."""
        return _checked({**self.by_name, **own.by_name})


def asks_for_all(text: str) -> bool:
    """Say whether all variants are asked for, whichever there are."""
    return text.strip() == ALL


def _as_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text).lstrip("-0123456789").rstrip("-") or "NAME"


def parse_variant(file: str, text: str) -> Variant:
    """Read one variant file; raises `VariantError` with file, line and what is allowed there."""
    name = Path(file).stem
    if not _NAME.fullmatch(name):
        raise VariantError(file, None, f"bad variant name {name!r}: a-z first, then a-z, 0-9 and -")
    if name == ALL:
        raise VariantError(file, None, f"bad variant name {ALL!r}: it stands for all variants. Rename the file")
    if "\ufffd" in text:
        # What the engine puts in the place of bytes that are no UTF-8.
        raise _no_utf8(file, text[: text.index("\ufffd")])
    document = yamltext.parse_yaml(text, file, VariantError)
    variant = Variant(name, file, yamltext.validate(VariantSpec, document, VariantError), document)
    _refuse_what_breaks_lines(variant)
    _refuse_duplicates(variant)
    return variant


def _no_utf8(file: str, before: str) -> VariantError:
    return VariantError(file, before.count("\n") + 1, "not UTF-8: save it as UTF-8")


def _refuse_what_breaks_lines(variant: Variant) -> None:
    """Refuse what would break a table, or tell the terminal what to do, in texts that are shown to people."""
    for path, text in variant.document.texts():
        is_free = path[:2] == ("overlay", "options") or path[-1] in _FREE
        # What is around a text is taken away.
        letters = text.strip(" \t\r\n")
        found = next((one for one in letters if _is_in_no_text(one) or not (is_free or is_plain(one))), None)
        if found == "\n":
            raise variant.error(path, f"{yamltext.spell(path)}: one line is expected, not {text!r}")
        if found:
            raise variant.error(
                path, f"{yamltext.spell(path)}: {text!r} has the unprintable character U+{ord(found):04X}: leave it out"
            )


def _is_in_no_text(character: str) -> bool:
    return unicodedata.category(character) == "Cs"  # half of a character


def _refuse_duplicates(variant: Variant) -> None:
    spec = variant.spec
    lists: tuple[tuple[yamltext.Path, list[str]], ...] = (
        (("extensions", "add"), [added.name for added in spec.extensions.add]),
        (("extensions", "drop"), [dropped.name for dropped in spec.extensions.drop]),
        (("aliases",), list(spec.aliases)),
        (("architectures",), [str(arch) for arch in spec.architectures]),
        (("extraKernelArgs",), list(spec.extra_kernel_args)),
        (("absent",), list(spec.absent)),
        (("meta",), [f"key {meta.key:#x}" for meta in spec.meta]),
        (("configuration", "kernelModules"), [module.name for module in spec.configuration.kernel_modules]),
        (("configuration", "extensionServices"), [service.name for service in spec.configuration.extension_services]),
    )
    for path, values in lists:
        for index, value in enumerate(values):
            if value in values[:index]:
                raise variant.error((*path, index), f"{_spell(path)}: {value!r} is listed twice")
    dropped = {entry.name for entry in spec.extensions.drop}
    for index, added in enumerate(spec.extensions.add):
        if added.name in dropped:
            raise variant.error(
                ("extensions", "add", index), f"{added.name!r} is both added and dropped: take one of the two lines out"
            )
    for index, word in enumerate(spec.absent):
        if carrying := [added.name for added in spec.extensions.add if word in added.name]:
            raise variant.error(("absent", index), f"{word!r} must be absent, but {carrying[0]!r} is added")
    for index, alias in enumerate(spec.aliases):
        if not re.fullmatch(r"[a-z][a-z0-9+-]*", alias):
            raise variant.error(("aliases", index), f"bad alias {alias!r}: a-z first, then a-z, 0-9, - and +")


def _spell(path: yamltext.Path) -> str:
    return ".".join(str(part) for part in path)


def load_variants(files: Mapping[str, str]) -> Variants:
    """Read a folder of variants, given as file name → text; what does not end in .yaml is not looked at.

    Raises `VariantError` for the first file that can't be taken, and for names and aliases that collide.
    """
    for file in sorted(files):
        if file.endswith((".yml", ".YAML", ".YML")):
            raise VariantError(file, None, f"a variant's file name ends in .yaml: rename it to {Path(file).stem}.yaml")
    return _checked({v.name: v for v in (parse_variant(f, files[f]) for f in sorted(files) if f.endswith(".yaml"))})


def read_variants(folder: Path) -> Variants:
    """Read the variants in a folder of this machine; raises `VariantError` where there are none."""
    if not folder.is_dir():
        raise VariantError(str(folder), None, "no such folder of variants")
    variants = load_variants({path.name: _read(path) for path in folder.iterdir() if path.is_file()})
    if not variants.by_name:
        raise VariantError(str(folder), None, "no variant here: add NAME.yaml")
    return variants


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _no_utf8(path.name, error.object[: error.start].decode()) from None


def _checked(by_name: Mapping[str, Variant]) -> Variants:
    taken: dict[str, Variant] = dict(by_name)
    for variant in by_name.values():
        for index, alias in enumerate(variant.spec.aliases):
            if alias in taken:
                other = taken[alias]
                raise variant.error(
                    ("aliases", index), f"alias {alias!r} is taken: it is {other.name}'s name or alias ({other.file})"
                )
            taken[alias] = variant
    return Variants(dict(sorted(by_name.items())))
