"""The configuration that a node needs for its extensions: the part `configuration` of a variant file.

Without it an extension's service waits, and the boot does not end.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from ci.common.text import is_plain
from ci.common.values import Value

#: Grammar of an extension's name.
EXTENSION = r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?"

#: Characters of a text that says why, and of a name.
_LONGEST_TEXT = 1000
_LONGEST_NAME = 128

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_TEXT)]


#: How Image Factory, and Sidero's registry, spell the name of an extension of the catalog.
_OFFICIAL = re.compile(rf"(?:ghcr\.io/)?siderolabs/(?P<name>{EXTENSION})(?P<version>:[A-Za-z0-9_][A-Za-z0-9_.-]*)?")


def name_in_catalog(text: str) -> str | None:
    """Return how a variant names the extension that Image Factory calls `siderolabs/NAME`, `None` for other texts."""
    found = _OFFICIAL.fullmatch(text)
    return found["name"] + (found["version"] or "") if found else None


def _extension_name(text: str) -> str:
    if name := name_in_catalog(text):
        raise ValueError(f"bad extension name {text!r}: write {name}")
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"an extension name of {len(text)} characters: at most {_LONGEST_NAME}")
    if not re.fullmatch(EXTENSION, text):
        raise ValueError(f"bad extension name {text!r}: a-z, 0-9, and . _ - between them")
    return text


ExtensionName = Annotated[str, AfterValidator(_extension_name)]


def must_be_quoted(value: object) -> object:
    """Refuse what YAML takes for a number or a truth value where a text is meant."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is a truth value in YAML: put it in quotes")  # noqa: TRY004 - pydantic's own protocol
    if isinstance(value, int | float):
        raise ValueError(f"{value!r} is a number in YAML: put it in quotes")  # noqa: TRY004
    return value


def _word(text: str) -> str:
    """Return the name of a kernel module, or of something in Kubernetes."""
    # Another check names characters that are not printed.
    if is_plain(text) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", text.strip()):
        raise ValueError(f"bad name {text!r}: letters, digits, and . _ - between them, at most 128")
    return text.strip()


Word = Annotated[str, AfterValidator(_word)]


def _absolute(path: str) -> str:
    if not path.startswith("/") or path != "/" + "/".join(part for part in path.split("/") if part not in ("", ".")):
        raise ValueError(f"bad path {path!r}: write it from / on, without a / at its end")
    return path


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class KernelModule(Value):
    """A module that the machine configuration has to load."""

    name: Word
    parameters: tuple[Text, ...] = ()
    #: Paths that exist once it is loaded, for services that wait for them: `/dev/zfs`.
    provides: tuple[AbsolutePath, ...] = ()
    reason: Text


class ServiceVariable(Value):
    """An environment variable of an extension service."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
    description: Text
    #: What it is set to; without a value only a required variable is written, with a placeholder.
    value: Annotated[Text | None, BeforeValidator(must_be_quoted)] = None
    #: Whether the service needs it.
    required: bool = False
    #: Whether its value must be kept from sight.
    secret: bool = False

    @model_validator(mode="after")
    def _no_secret_in_a_file(self) -> Self:
        if self.secret and self.value is not None:
            raise ValueError(f"{self.name} is secret, so a variant file can't hold its value: leave value out")
        return self


class ConfigFile(Value):
    """A file that an extension service finds in its container."""

    mount_path: AbsolutePath
    content: Annotated[str, Field(min_length=1)]


class ExtensionService(Value):
    """A service that waits for an ExtensionServiceConfig document."""

    name: ExtensionName
    environment: tuple[ServiceVariable, ...] = ()
    config_files: tuple[ConfigFile, ...] = ()
    reason: Text


class RuntimeClassNeed(Value):
    """A Kubernetes RuntimeClass that makes a container runtime of the image usable."""

    name: Word
    handler: Word
    reason: Text


class KnownPath(Value):
    """A path that services wait for and that exists without any configuration, such as a device of the machine."""

    path: AbsolutePath
    reason: Text


class Configuration(Value):
    """The configuration that a node needs; without it its extensions wait, and the boot does not end."""

    kernel_modules: tuple[KernelModule, ...] = ()
    extension_services: tuple[ExtensionService, ...] = ()
    runtime_classes: tuple[RuntimeClassNeed, ...] = ()
    paths: tuple[KnownPath, ...] = ()


def placeholder(variable: str) -> str:
    """Return the placeholder for a variable's unknown value; no value looks like it."""
    return f"<put {variable} here>"
