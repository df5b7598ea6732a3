"""System extensions as unpacked folders: their manifests, their compatibility, their contents.

An extension's folder holds `manifest.yaml` and `rootfs/`, nothing else. Which paths the root filesystem may have and
which architecture its programs are for is not checked, as in the real imager.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import goyaml
from .errors import ImagerError
from .report import Progress, table
from .versions import dotted, satisfies

if TYPE_CHECKING:
    from pathlib import Path

    from .contract import Contract, Quirks


@dataclass(frozen=True)
class Metadata:
    """What an extension says about itself."""

    name: str = ""
    version: str = ""
    author: str = ""
    description: str = ""
    talos_constraint: str = ""
    extra_info: str = ""

    def echo(self) -> dict[str, Any]:
        """Returns the form that manifests and `extensions.yaml` have."""
        metadata: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "author": self.author,
            "description": self.description,
            "compatibility": {"talos": {"version": self.talos_constraint}},
        }
        return metadata | ({"extraInfo": self.extra_info} if self.extra_info else {})


@dataclass(frozen=True)
class Extension:
    """One unpacked extension; `slot` names its squashfs: its number in the profile, or `modules.dep`."""

    slot: str
    rootfs: Path
    metadata: Metadata


def load_all(tree: Path) -> list[Extension]:
    """Loads the extensions below a folder in the order of their names as text (0, 1, 10, 2).

    Raises ImagerError `error listing extensions: …`.
    """
    loaded: list[Extension] = []
    for folder in sorted(tree.iterdir()):
        try:
            loaded.append(_load(folder))
        except ImagerError as error:
            raise ImagerError(f"error listing extensions: error loading extension {folder.name}: {error}") from None
    return loaded


def _load(folder: Path) -> Extension:
    metadata: Metadata | None = None
    rootfs: Path | None = None
    for item in sorted(folder.iterdir()):
        match item.name:
            case "manifest.yaml":
                metadata = _read_manifest(item)
            case "rootfs":
                rootfs = item
            case other:
                raise ImagerError(f"unexpected file {json.dumps(other)}")
    if metadata is None:
        raise ImagerError("extension manifest is missing")
    if rootfs is None:
        raise ImagerError("extension rootfs is missing")
    return Extension(folder.name, rootfs, metadata)


def _read_manifest(path: Path) -> Metadata:
    root = goyaml.items(goyaml.compose(path.read_text(errors="replace")))
    fields = goyaml.items(root["metadata"]) if "metadata" in root else {}
    compatibility = fields.get("compatibility")
    talos = goyaml.items(compatibility).get("talos") if compatibility else None
    in_talos = goyaml.items(talos) if talos else {}

    def text(parent: dict[str, goyaml.Node], key: str) -> str:
        return goyaml.text(parent[key]) if key in parent else ""

    metadata = Metadata(
        name=text(fields, "name"),
        version=text(fields, "version"),
        author=text(fields, "author"),
        description=text(fields, "description"),
        talos_constraint=text(in_talos, "version"),
        extra_info=text(fields, "extraInfo"),
    )
    version = text(root, "version")
    if version != "v1alpha1":
        raise ImagerError(f"unsupported manifest version: {json.dumps(version)}")
    return metadata


def print_all(extensions: list[Extension], progress: Progress) -> None:
    """Lists extensions by name, version and author."""
    progress("discovered system extensions:")
    rows = [("NAME", "VERSION", "AUTHOR")]
    rows += [(item.metadata.name, item.metadata.version, item.metadata.author) for item in extensions]
    for line in table(rows):
        progress(line)


def validate_all(extensions: list[Extension], quirks: Quirks, contract: Contract, progress: Progress) -> None:
    """Checks that each extension is for this Talos version.

    Raises ImagerError `error validating extension "NAME": …`.
    """
    progress("validating system extensions")
    version = quirks.version or contract.version
    for extension in extensions:
        constraint = extension.metadata.talos_constraint
        failed = f"error validating extension {json.dumps(extension.metadata.name)}"
        try:
            fits = not constraint or satisfies(version, constraint)
        except ImagerError as error:
            raise ImagerError(f"{failed}: error parsing Talos version constraint: {error}") from None
        if not fits:
            raise ImagerError(
                f"{failed}: version constraint {constraint} can't be satisfied with Talos version {dotted(version)}"
            )
