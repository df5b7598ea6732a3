"""Extension services: what the service files in an image wait for, and whether a configuration meets it.

Talos starts what `/usr/local/etc/containers/*.yaml` describes, each when all of its dependencies are there, and its
boot waits for all of them (siderolabs/talos, pkg/machinery/extensions/services; v1.11.3 and v1.13.6 alike).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from ci.common import yamltext
from ci.common.errors import FileError
from ci.common.text import escaped, is_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Where service files lie below an extension's root file system.
FOLDER: Final = "usr/local/etc/containers"

#: Prefix of the name under which Talos registers an extension's service.
_PREFIX: Final = "ext-"

#: Paths that services of the published extensions wait for and that every Talos node has, with who makes them.
ALWAYS: Final[Mapping[str, str]] = {
    "/system/run/machined/machine.sock": "Talos's machined",
    "/etc/ssl/certs": "Talos's root file system",
    "/etc/iscsi/initiatorname.iscsi": "Talos writes it",
    "/dev/mapper/control": "Talos's kernel",
}


class _Lenient(BaseModel):
    # What Talos reads beyond these fields, and fields of later versions, do not matter here.
    model_config = ConfigDict(extra="ignore")


def _one_line(text: str) -> str:
    if not is_plain(text):
        raise ValueError(f"{text!r} has control characters, line breaks or bidirectional overrides in it")
    return text


#: As Talos takes it (pkg/machinery/extensions/services, `Validate`).
_Name = Annotated[str, StringConstraints(pattern=r"^[-_a-z0-9]{1,128}$")]
_Line = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_one_line)]


class _Dependency(_Lenient):
    service: _Line | None = None
    path: _Line | None = None
    configuration: bool = False


class _Container(_Lenient):
    environment_file: _Line | None = Field(default=None, alias="environmentFile")


class _Spec(_Lenient):
    name: _Name
    depends: tuple[_Dependency, ...] = ()
    container: _Container = _Container()


@dataclass(frozen=True)
class Service:
    """An extension's service, and what it waits for."""

    #: Extension and file, for errors.
    file: str
    #: As in the file; Talos puts `ext-` before it.
    name: str
    #: Absolute paths; the environment file is one.
    paths: tuple[str, ...] = ()
    #: Further services, by Talos's names.
    services: tuple[str, ...] = ()
    #: Whether it waits for an ExtensionServiceConfig document of its name.
    configuration: bool = False


def parse_service(file: str, text: str) -> Service:
    """Read a service file; `file` is what errors call it. Raises `FileError`."""
    file = escaped(file)
    spec = yamltext.validate(_Spec, yamltext.parse_yaml(text, file, FileError), FileError)
    paths = [dependency.path for dependency in spec.depends if dependency.path]
    if spec.container.environment_file:
        paths.append(spec.container.environment_file)
    return Service(
        file,
        spec.name,
        tuple(paths),
        tuple(dependency.service for dependency in spec.depends if dependency.service),
        any(dependency.configuration for dependency in spec.depends),
    )


def unmet(services: Iterable[Service], paths: Iterable[str], configured: Iterable[str]) -> Iterator[str]:
    """Yield, for each dependency that nothing meets, what waits for what, and what to do.

    `paths` exist on a node with its configuration; `configured` are the services that have an
    ExtensionServiceConfig document.
    """
    services, there, documents = tuple(services), {*ALWAYS, *paths}, set(configured)
    own = {_PREFIX + service.name for service in services}
    for service in services:
        for path in service.paths:
            if path not in there:
                yield (
                    f"{service.file}: service {service.name} waits for {path}, which nothing provides: add the kernel "
                    f"module that makes it, with `provides: [{path}]`, to configuration.kernelModules, or, where the "
                    "machine itself has it, add it to configuration.paths"
                )
        if service.configuration and service.name not in documents:
            yield (
                f"{service.file}: service {service.name} waits for an ExtensionServiceConfig document: add "
                f"{service.name} to configuration.extensionServices"
            )
        for other in service.services:
            if other.startswith(_PREFIX) and other not in own:
                yield (
                    f"{service.file}: service {service.name} waits for the service {other}, which no extension of the "
                    "image has: add the extension that brings it"
                )
