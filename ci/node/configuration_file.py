"""Machine configurations as users have them, read for what this project has to do with.

A file has several documents: the older form's fields (`machine`, `cluster`), and one document for each matter. talm's
node files may hold only what differs from its templates. They hold secrets: no error and no fact here has a value that
was not asked for, and what is shown of a file matches a grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import yaml

from ci.common.errors import FileError
from ci.common.yamltext import check_events, check_size

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODELINE: Final = re.compile(r"#\s*talm:\s*(?P<rest>.*)")
_TEMPLATES: Final = re.compile(r"templates\s*=\s*(\[[^\]]*\])")
#: Type of the resource that holds a node's configuration.
_RESOURCE: Final = "MachineConfigs.config.talos.dev"
#: Far above any real file; an alias that contains itself, or a cascade of aliases, ends here.
_DEEPEST: Final = 50
_MOST: Final = 200_000
#: Characters of a file, and how often one may be printed within another.
LARGEST: Final = 4 << 20
_NESTED: Final = 3

_Path: TypeAlias = tuple[str | int, ...]


class ConfigurationFileError(FileError):
    """A user's machine configuration can't be read; the message has nothing of its content."""


@dataclass(frozen=True)
class Document:
    """One document: every scalar as its text, with the line of each place."""

    data: Mapping[str, Any]
    lines: Mapping[_Path, int]

    @property
    def kind(self) -> str | None:
        """What it is, `None` for the fields of the older form."""
        return _text(self.data.get("kind"))

    def at(self, *path: str | int) -> Any:
        """Return what is at a place, `None` where there is nothing."""
        here: Any = self.data
        for step in path:
            if isinstance(here, Mapping):
                here = cast("Mapping[str | int, Any]", here).get(step)
            elif isinstance(here, list) and isinstance(step, int) and step < len(cast("list[Any]", here)):
                here = cast("list[Any]", here)[step]
            else:
                return None
        return here

    def texts(self, *path: str | int) -> tuple[str, ...]:
        """Return the texts of a list at a place."""
        return tuple(text for item in self.items(*path) if (text := _text(item)) is not None)

    def items(self, *path: str | int) -> list[Any]:
        """Return the items of a list at a place; without a list there are none."""
        value = self.at(*path)
        return cast("list[Any]", value) if isinstance(value, list) else []

    def line(self, *path: str | int) -> int | None:
        """Return the line of a place, or of what is around it."""
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), None)


@dataclass(frozen=True)
class Module:
    """A kernel module that is loaded; of several entries the last one's parameters count."""

    parameters: tuple[str, ...]
    line: int | None


@dataclass(frozen=True)
class ServiceConfig:
    """An ExtensionServiceConfig document."""

    environment: Mapping[str, str]
    #: Variables that are set more than once.
    repeated: tuple[str, ...]
    has_files: bool
    line: int | None


@dataclass(frozen=True)
class Installer:
    """The reference of what a new node installs."""

    text: str
    #: The field or document that names it.
    place: str
    line: int | None


@dataclass(frozen=True)
class Subnets:
    """Networks that a node's address may be in."""

    networks: tuple[str, ...]
    line: int | None


@dataclass
class NodeConfiguration:
    """One file."""

    file: str
    #: `controlplane` or `worker`; `None` where the file does not say it.
    machine_type: str | None = None
    #: Whether it is one of talm's node files.
    is_talm: bool = False
    #: Whether it is merged over something that is not in the file.
    is_partial: bool = False
    documents: tuple[Document, ...] = ()
    modules: dict[str, Module] = field(default_factory=dict[str, Module])
    services: dict[str, ServiceConfig] = field(default_factory=dict[str, ServiceConfig])
    installers: list[Installer] = field(default_factory=list[Installer])
    sysctls: dict[str, str] = field(default_factory=dict[str, str])
    node_subnets: Subnets | None = None
    etcd_subnets: Subnets | None = None
    #: RuntimeClasses among the manifests, with their handlers.
    runtime_classes: dict[str, str] = field(default_factory=dict[str, str])
    #: Names of manifests that are there more than once.
    repeated_manifests: dict[str, int | None] = field(default_factory=dict[str, "int | None"])

    @property
    def kinds(self) -> dict[str, int | None]:
        """The kinds of its documents, each with the first one's line."""
        found: dict[str, int | None] = {}
        for document in self.documents:
            if document.kind:
                found.setdefault(document.kind, document.line())
        return found

    def has(self, *path: str) -> bool:
        """Say whether the fields of the older form have a place."""
        return any(document.kind is None and document.at(*path) is not None for document in self.documents)


def read_configuration(file: str, text: str) -> NodeConfiguration:
    """Read one file. Raises `ConfigurationFileError` for what is not YAML, or not a machine configuration."""
    documents = tuple(_documents(file, text))
    modeline = next((match for line in text.splitlines()[:5] if (match := _MODELINE.match(line))), None)
    found = NodeConfiguration(file, is_talm=modeline is not None, documents=documents)
    for document in documents:
        if document.kind is None:
            _read_fields(document, found)
        else:
            _read_document(document, found)
    if not any(document.kind or "machine" in document.data or "cluster" in document.data for document in documents):
        raise ConfigurationFileError(file, None, "this is not a machine configuration: no machine, cluster or kind")
    found.is_partial = found.machine_type is None
    if modeline:
        found.machine_type = found.machine_type or _template_type(modeline["rest"])
    return found


def _template_type(rest: str) -> str | None:
    """Return the type of machine that the templates in a modeline are for."""
    match = _TEMPLATES.search(rest)
    try:
        names: Any = json.loads(match[1]) if match else []
    except ValueError:
        return None
    for kind in ("controlplane", "worker"):
        if any(isinstance(name, str) and name.rsplit("/", 1)[-1].startswith(kind) for name in names):
            return kind
    return None


def _documents(file: str, text: str, nested: int = 0) -> Iterator[Document]:
    if nested > _NESTED:
        raise ConfigurationFileError(file, None, "a resource within a resource within a resource: give it itself")
    check_size(len(text), file, ConfigurationFileError, LARGEST)
    try:
        check_events(text, file, ConfigurationFileError, _DEEPEST)
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            lines: dict[_Path, int] = {}
            data = _value(cast("yaml.Node | None", node), (), lines, file)
            if isinstance(data, dict):
                document = Document(cast("dict[str, Any]", data), lines)
                resource = _text(document.at("metadata", "type")) or ""
                if resource.startswith(_RESOURCE) and (spec := _text(document.at("spec"))) is not None:
                    # As `talosctl get machineconfig --output yaml` prints it; lines would be those of the text inside.
                    yield from (Document(inner.data, {}) for inner in _documents(file, spec, nested + 1))
                else:
                    yield document
            elif data not in (None, ""):
                raise ConfigurationFileError(file, lines.get(()), "a document is not a mapping")
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise ConfigurationFileError(file, mark.line + 1 if mark else None, "this is not YAML") from None
    except yaml.YAMLError:
        raise ConfigurationFileError(file, None, "this is not YAML: it has characters that no text has") from None


def _value(node: yaml.Node | None, path: _Path, lines: dict[_Path, int], file: str) -> Any:
    if node is None:
        return None
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > _DEEPEST or len(lines) > _MOST:
        raise ConfigurationFileError(file, line, "too much in one file (an alias that contains itself?)")
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(item, (*path, index), lines, file) for index, item in enumerate(cast("list[yaml.Node]", node.value))
        ]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in mapping:
                raise ConfigurationFileError(file, key.start_mark.line + 1, "a key is given twice, which Talos refuses")
            lines[*path, name] = key.start_mark.line + 1
            mapping[name] = _value(value, (*path, name), lines, file)
        return mapping
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return None
    return str(node.value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _read_fields(document: Document, found: NodeConfiguration) -> None:
    found.machine_type = _text(document.at("machine", "type")) or found.machine_type
    _read_modules(document, ("machine", "kernel", "modules"), found)
    if (image := _text(document.at("machine", "install", "image"))) is not None:
        place = ("machine", "install", "image")
        found.installers.append(Installer(image, ".".join(place), document.line(*place)))
    _read_sysctls(document, ("machine", "sysctls"), found)
    found.node_subnets = _subnets(document, "machine", "kubelet", "nodeIP", "validSubnets") or found.node_subnets
    found.etcd_subnets = _subnets(document, "cluster", "etcd", "advertisedSubnets") or found.etcd_subnets
    names: set[str] = set()
    for number, _ in enumerate(document.items("cluster", "inlineManifests")):
        name = _text(document.at("cluster", "inlineManifests", number, "name")) or ""
        if name in names:
            found.repeated_manifests[name] = document.line("cluster", "inlineManifests", number)
        names.add(name)
        _read_manifest(_text(document.at("cluster", "inlineManifests", number, "contents")), found)


def _read_document(document: Document, found: NodeConfiguration) -> None:
    match document.kind:
        case "KernelModuleConfig":
            _add_module(document, (), found)
        case "SysctlConfig":
            _read_sysctls(document, ("params",), found)
        case "KubeNodeConfig":
            found.node_subnets = _subnets(document, "nodeIP", "validSubnets") or found.node_subnets
        case "UnattendedInstallConfig":
            if (image := _text(document.at("installer", "image"))) is not None:
                line = document.line("installer", "image")
                found.installers.append(Installer(image, "UnattendedInstallConfig, installer.image", line))
        case "KubeInlineManifestConfig":
            _read_manifest(_text(document.at("manifest")), found)
        case "ExtensionServiceConfig":
            _read_service(document, found)
        case _:
            pass


def _read_modules(document: Document, path: _Path, found: NodeConfiguration) -> None:
    for number, _ in enumerate(document.items(*path)):
        _add_module(document, (*path, number), found)


def _add_module(document: Document, path: _Path, found: NodeConfiguration) -> None:
    if name := _text(document.at(*path, "name")):
        found.modules[name] = Module(document.texts(*path, "parameters"), document.line(*path))


def _read_sysctls(document: Document, path: _Path, found: NodeConfiguration) -> None:
    values = document.at(*path)
    if isinstance(values, Mapping):
        for name, value in cast("Mapping[str, Any]", values).items():
            # Talos takes both spellings.
            found.sysctls[name.replace("/", ".")] = _text(value) or ""


def _subnets(document: Document, *path: str) -> Subnets | None:
    networks = document.texts(*path)
    return Subnets(networks, document.line(*path)) if networks else None


def _read_service(document: Document, found: NodeConfiguration) -> None:
    values: dict[str, str] = {}
    repeated: list[str] = []
    for entry in document.texts("environment"):
        name, _, value = entry.partition("=")
        if name in values:
            repeated.append(name)
        values[name] = value
    name = _text(document.at("name")) or ""
    if name in found.services:
        raise ConfigurationFileError(
            found.file, document.line("name"), "two ExtensionServiceConfig documents have the same name"
        )
    found.services[name] = ServiceConfig(values, tuple(repeated), bool(document.items("configFiles")), document.line())


def _read_manifest(text: str | None, found: NodeConfiguration) -> None:
    try:
        manifests = list(_documents(found.file, text or ""))
    except ConfigurationFileError:
        return  # Kubernetes' own matter
    for manifest in manifests:
        name, handler = _text(manifest.at("metadata", "name")), _text(manifest.at("handler"))
        if manifest.kind == "RuntimeClass" and name:
            found.runtime_classes[name] = handler or ""
