"""What a variant's nodes need to be told, as Talos machine configuration patches and Kubernetes objects.

    node.yaml           patch for every node of the variant: kernel modules, ExtensionServiceConfig documents
    kubernetes.yaml     objects of the cluster, once per cluster: RuntimeClasses
    controlplane.yaml   the same objects as a patch for control plane nodes, for a cluster that is yet to be made

Only control plane nodes act upon `cluster.inlineManifests`, and a RuntimeClass belongs to the cluster, not to a node:
so it does not stand in the node's patch. Fields are those of Talos's schema (pkg/machinery/config/schemas).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml

from ci.common.errors import CozystackTalosError, ReferenceSyntaxError
from ci.common.references import parse_reference
from ci.load.configuration import placeholder
from ci.node import tailscale
from ci.plan.images import variant_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.common.references import Reference
    from ci.load.configuration import Configuration, ExtensionService, KernelModule, RuntimeClassNeed, ServiceVariable
    from ci.load.variant import Variant
    from ci.node.tailscale import Tailscale

NODE: Final = "node.yaml"
KUBERNETES: Final = "kubernetes.yaml"
CONTROL_PLANE: Final = "controlplane.yaml"

_NO_INSTALLER: Final = (
    "A node that is yet to be installed puts on its disk what machine.install.image names, and not what it booted.",
    "That has to be this variant's installer: give machine-config the reference that publish prints, as --installer.",
)

#: Wider than any line: a value that is broken in two is hard to replace.
_UNBROKEN: Final = 1 << 16

Document: TypeAlias = dict[str, Any]


class MachineConfigError(CozystackTalosError):
    """Machine configuration can't be written for what was asked."""


@dataclass(frozen=True)
class MachineConfig:
    """The files, by name, and what has to be said beside them."""

    files: Mapping[str, str]
    warnings: tuple[str, ...]


def provided_paths(configuration: Configuration) -> tuple[str, ...]:
    """Return the paths that are there on a node that is told all of this."""
    loaded = (path for module in configuration.kernel_modules for path in module.provides)
    return (*loaded, *(known.path for known in configuration.paths))


def parse_installer(text: str | None, variant: str, variants: Iterable[str]) -> Reference | None:
    """Read the reference of a variant's installer image, by tag or digest; `variants` are the names of all.

    Raises `MachineConfigError` for a text that is no reference, and for a tag that names another variant.
    """
    if text is None:
        return None
    try:
        reference = parse_reference(text)
    except ReferenceSyntaxError as error:
        raise MachineConfigError(f"--installer: {error}; give the reference that publish prints") from None
    named = variant_of(reference.tag or "", variants)
    if named not in (None, variant):
        raise MachineConfigError(
            f"--installer: {text} is the installer of {named}, and these patches are for nodes of {variant}: they do "
            f"not give its extensions what these wait for. Give the reference that `publish --variant {variant}` prints"
        )
    return reference


def make_machine_config(
    variant: Variant, talos_version: str, told: Tailscale, installer: Reference | None = None
) -> MachineConfig:
    """Return the files for a variant's nodes; `told` counts only where they run Tailscale.

    `installer` is what a node that is yet to be installed puts on its disk; left out, what its configuration names.
    With an auth key its placeholder stays in the text: the caller puts the key there, where nobody sees it. Raises
    `MachineConfigError` for a service that would get an empty document.
    """
    configuration = variant.spec.configuration
    warnings = tuple(_warnings(variant, told))
    head = [
        f"Talos machine configuration for nodes of variant {variant.name}, Talos {talos_version}: a patch.",
        "",
        f"    talosctl patch machineconfig --nodes NODE --patch @{NODE}                         a node that runs",
        f"    talosctl machineconfig patch worker.yaml --patch @{NODE} --output THIS-NODE.yaml  one that is to come",
        "",
        "Patch a node once. Talos adds what a patch lists to what is there: of a module that is listed twice the last",
        "entry's parameters count, so take parameters of your own over into this file; of a variable that is set twice",
        "the service may take the old value.",
        *([] if installer else ["", *_NO_INSTALLER]),
        *(line for warning in warnings for line in ("", f"WARNING: {warning}")),
        *(["", "This file holds an auth key: keep it from sight."] if told.has_auth_key else []),
    ]
    documents = [
        _document(_machine(configuration.kernel_modules, installer), _module_reasons(configuration.kernel_modules))
    ]
    for service in configuration.extension_services:
        made = _service(service, _given(service, told))
        documents.append(_document(made, _service_reasons(service, made)))
    node = _comment(head) + "\n" + "---\n".join(documents)
    return MachineConfig({NODE: node, **_cluster_files(variant)}, warnings)


def _warnings(variant: Variant, told: Tailscale) -> Iterator[str]:
    if tailscale.service_of(variant) and (warning := tailscale.join_warning(told)):
        yield warning
    for service in variant.spec.configuration.extension_services:
        for variable in service.environment:
            if variable.required and variable.value is None and variable.name not in _given(service, told):
                is_key = (service.name, variable.name) == (tailscale.SERVICE, tailscale.AUTH_KEY)
                way = ", or give --tailscale-auth-key" if is_key else ""
                yield (
                    f"{variable.name} of service {service.name} is a placeholder: put its value there before you "
                    f"apply this{way}"
                )


def _given(service: ExtensionService, told: Tailscale) -> dict[str, str]:
    return told.environment if service.name == tailscale.SERVICE else {}


def _machine(modules: Iterable[KernelModule], installer: Reference | None) -> Document:
    loaded: list[Document] = []
    for module in modules:
        parameters = {"parameters": list(module.parameters)} if module.parameters else {}
        loaded.append({"name": module.name, **parameters})
    install = {"install": {"image": str(installer)}} if installer else {}
    return {"machine": {**install, **({"kernel": {"modules": loaded}} if loaded else {})}}


def _module_reasons(modules: Iterable[KernelModule]) -> list[str]:
    return [f"{module.name}: {module.reason}" for module in modules]


def _service(service: ExtensionService, given: dict[str, str]) -> Document:
    values = {variable.name: _value(variable) for variable in service.environment} | given
    environment = [f"{name}={value}" for name, value in values.items() if value is not None]
    files = [{"content": file.content, "mountPath": file.mount_path} for file in service.config_files]
    if not environment and not files:
        raise MachineConfigError(
            f"service {service.name}: its ExtensionServiceConfig document would have neither environment nor files, "
            "which Talos refuses: give a variable a value in the variant, or add configFiles"
        )
    document: Document = {"apiVersion": "v1alpha1", "kind": "ExtensionServiceConfig", "name": service.name}
    if files:
        document["configFiles"] = files
    if environment:
        document["environment"] = environment
    return document


def _value(variable: ServiceVariable) -> str | None:
    return placeholder(variable.name) if variable.value is None and variable.required else variable.value


def _service_reasons(service: ExtensionService, document: Document) -> list[str]:
    written = {entry.partition("=")[0] for entry in document.get("environment", [])}
    lines = [f"{service.name}: {service.reason}"]
    lines += [f"{one.name}: {one.description}" for one in service.environment if one.name in written]
    lines += [f"(not set) {one.name}: {one.description}" for one in service.environment if one.name not in written]
    return lines


def _cluster_files(variant: Variant) -> dict[str, str]:
    needs = variant.spec.configuration.runtime_classes
    if not needs:
        return {}
    objects = [_runtime_class(need) for need in needs]
    reasons = [f"{need.name}: {need.reason}" for need in needs]
    usage = ["Kubernetes objects for variant " + variant.name + ", once per cluster.", ""]
    usage += [f"    kubectl apply --filename {KUBERNETES}", ""]
    inline = [
        {"name": f"runtime-class-{need.name}", "contents": _dump(made)}
        for need, made in zip(needs, objects, strict=True)
    ]
    patch = [
        f"The objects of {KUBERNETES}, for a cluster that is yet to be made: Talos itself creates them. A patch for",
        "control plane nodes; other nodes pay no heed to it.",
        "",
        f"    talosctl gen config CLUSTER ENDPOINT --config-patch-control-plane @{CONTROL_PLANE}",
        "",
    ]
    return {
        KUBERNETES: _comment([*usage, *reasons]) + "---\n".join(_dump(made) for made in objects),
        CONTROL_PLANE: _comment([*patch, *reasons]) + _dump({"cluster": {"inlineManifests": inline}}),
    }


def _runtime_class(need: RuntimeClassNeed) -> Document:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": need.name},
        "handler": need.handler,
    }


def _document(document: Document, reasons: list[str]) -> str:
    return _comment(reasons) + _dump(document)


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for text in lines for line in text.splitlines() or [""])


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(_: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(document: Document) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_UNBROKEN)
