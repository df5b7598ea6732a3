"""Machine configuration as Talos writes it: fields of `machine` and `cluster`, or a document for each matter.

Up to v1.13 all but services are fields. From v1.14 on `talosctl gen config` writes documents, and a configuration has
one form or the other (`ci.plan.quirks`). Fields and kinds are those of Talos's schema (pkg/machinery/config/schemas).
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml

from ci.common.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.load.configuration import KernelModule

#: Wider than any line: a value that is broken in two is hard to replace.
_UNBROKEN: Final = 1 << 16

#: In place of the expression that selects the disk; Talos refuses it, so that nothing is installed by mistake.
DISK_PLACEHOLDER: Final = "<put an expression for the disk here>"

Document: TypeAlias = dict[str, Any]


class Form(StrEnum):
    """How a configuration says what can be a field or a document."""

    #: Fields of `machine` and `cluster`; the only one before Talos v1.14.
    FIELDS = "v1alpha1"
    #: A document for each matter.
    DOCUMENTS = "documents"


def document(kind: str, **fields: Any) -> Document:
    """Return a document of a kind; names of fields are Talos's."""
    return {"apiVersion": "v1alpha1", "kind": kind, **fields}


def module_entries(modules: Iterable[KernelModule]) -> list[Document]:
    """Return kernel modules as name and parameters."""
    return [
        {"name": module.name, **({"parameters": list(module.parameters)} if module.parameters else {})}
        for module in modules
    ]


def machine_parts(
    form: Form,
    *,
    modules: Iterable[KernelModule],
    subnets: Iterable[str],
    sysctls: Mapping[str, str],
    install: Document | None = None,
) -> list[Document]:
    """Return a machine's settings, apart from its services, in one of the forms."""
    loaded, valid, params = module_entries(modules), list(subnets), dict(sysctls)
    if form is Form.FIELDS:
        fields = {
            "install": install,
            "kubelet": {"nodeIP": {"validSubnets": valid}} if valid else None,
            "sysctls": params or None,
            "kernel": {"modules": loaded} if loaded else None,
        }
        return [{"machine": {name: value for name, value in fields.items() if value}}]
    parts = [document("KernelModuleConfig", **entry) for entry in loaded]
    if valid:
        parts.append(document("KubeNodeConfig", nodeIP={"validSubnets": valid}))
    if params:
        parts.append(document("SysctlConfig", params=params))
    return parts


def install_part(form: Form, image: str, disk: str | None) -> Document:
    """Return what a new node installs on which disk.

    `disk` is a path such as /dev/sda, or an expression in CEL, which only a document takes. A document needs the disk:
    a patch without it takes away the one that the configuration has (v1.14.0-rc.1).
    """
    if form is Form.FIELDS:
        return {"image": image, **({"disk": disk} if disk and disk.startswith("/") else {})}
    match = DISK_PLACEHOLDER if disk is None else f"disk.dev_path == {json.dumps(disk)}" if disk[:1] == "/" else disk
    return document(
        "UnattendedInstallConfig", installer={"image": image}, provisioning={"diskSelector": {"match": match}}
    )


def cluster_parts(form: Form, *, subnets: Iterable[str], manifests: Mapping[str, str]) -> list[Document]:
    """Return the further settings of control plane nodes: etcd's networks, and manifests by name."""
    cluster: Document = {"etcd": {"advertisedSubnets": list(subnets)}} if subnets else {}
    if form is Form.FIELDS:
        if manifests:
            cluster["inlineManifests"] = [{"name": name, "contents": text} for name, text in manifests.items()]
        return [{"cluster": cluster}] if cluster else []
    parts: list[Document] = [{"cluster": cluster}] if cluster else []
    return [
        *parts,
        *(document("KubeInlineManifestConfig", name=name, manifest=text) for name, text in manifests.items()),
    ]


def merged(parts: Iterable[Document]) -> list[Document]:
    """Return documents with the fields of `machine` and `cluster` in one, which comes first."""
    fields: Document = {}
    others: list[Document] = []
    for part in parts:
        if "kind" in part:
            others.append(part)
        else:
            fields.update(part)
    return [fields, *others] if fields else others


def comment(lines: Iterable[str]) -> str:
    """Return lines as YAML comments."""
    return "".join(f"# {escaped(line)}".rstrip() + "\n" for text in lines for line in text.splitlines() or [""])


class _Dumper(yaml.SafeDumper):
    """Write texts of several lines as blocks."""


def _text(_: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def dump(value: Document) -> str:
    """Return a document as YAML."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_UNBROKEN)
