"""Machine configuration for a variant's nodes, as Talos patches and Kubernetes objects.

    node.yaml           patch for every node of the variant: kernel modules, ExtensionServiceConfig documents
    kubernetes.yaml     objects of the cluster, once per cluster: RuntimeClasses
    controlplane.yaml   patch for control plane nodes: the same objects for a new cluster, and etcd's networks
    install.yaml        from Talos v1.14 on: what a new node installs
    v1alpha1/           from Talos v1.14 on: the same patches for a configuration of the older form

Only control plane nodes act upon inline manifests, and a RuntimeClass belongs to the cluster, not to a node: so it is
not in the patch of a node that is a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.errors import UserError
from ci.node import heads, tailnet
from ci.node.documents import (
    Document,
    Form,
    cluster_parts,
    comment,
    document,
    dump,
    install_part,
    machine_parts,
    merged,
)
from ci.node.heads import CONTROL_PLANE, INSTALL, KUBERNETES, NODE, OLDER, TALM_NODE, TALM_VALUES
from ci.node.request import NodeKind, NodeSettings
from ci.node.tailscale import environment, service_of
from ci.plan.quirks import NEWEST_CONFIGURATION, quirks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.common.references import Reference
    from ci.load.configuration import Configuration, ExtensionService, RuntimeClassNeed
    from ci.load.variant import Variant
    from ci.node.tailscale import Tailscale

_IPV6_FORWARDING: Final = {"net.ipv6.conf.all.forwarding": "1"}
_IPV6_REASON: Final = (
    "net.ipv6.conf.all.forwarding: a route is IPv6, and Tailscale's service does not start without it. Talos itself",
    "sets forwarding for IPv4, and for links that are made later.",
)


@dataclass(frozen=True)
class MachineConfig:
    """The files, by name, and what to tell the user about them."""

    files: Mapping[str, str]
    warnings: tuple[str, ...]


def provided_paths(configuration: Configuration) -> tuple[str, ...]:
    """Return the paths that exist on a node with this configuration."""
    loaded = (path for module in configuration.kernel_modules for path in module.provides)
    return (*loaded, *(known.path for known in configuration.paths))


def make_machine_config(
    variant: Variant,
    talos_version: str,
    told: Tailscale,
    installer: Reference | None = None,
    node: NodeSettings | None = None,
) -> MachineConfig:
    """Return the files for a variant's nodes; `told` counts only where they run Tailscale.

    `installer` is what a new node installs; left out, what its configuration names.
    With an auth key its placeholder stays in the text: the caller puts the key there, where nobody sees it. Raises
    `UserError` for a service whose document would be empty.
    """
    return _Writer(variant, talos_version, told, installer, node or NodeSettings()).write()


@dataclass(frozen=True)
class _Writer:
    variant: Variant
    talos_version: str
    told: Tailscale
    installer: Reference | None
    node: NodeSettings

    @property
    def _both(self) -> bool:
        """Whether a configuration for this Talos version may have either form."""
        return quirks(self.talos_version).has_documents

    @property
    def _configuration(self) -> Configuration:
        return self.variant.spec.configuration

    @property
    def _tailscale(self) -> dict[str, str]:
        service = service_of(self.variant)
        return environment(service, self.told) if service else {}

    def write(self) -> MachineConfig:
        """Return all files."""
        warnings = tuple(self._warnings())
        files = {NODE: self._node(Form.DOCUMENTS if self._both else Form.FIELDS, NODE, warnings)}
        files.update(self._cluster_files())
        if self._both:
            files[OLDER + NODE] = self._node(Form.FIELDS, OLDER + NODE, warnings)
            if self.installer:
                files[INSTALL] = self._install(Form.DOCUMENTS, self.installer)
                files[OLDER + INSTALL] = self._install(Form.FIELDS, self.installer)
        if self.node.talm:
            files[TALM_NODE] = self._talm_node(warnings)
            files[TALM_VALUES] = self._talm_values()
        return MachineConfig(files, warnings)

    def _warnings(self) -> Iterator[str]:
        if quirks(self.talos_version).is_unknown_configuration:
            newest = ".".join(map(str, NEWEST_CONFIGURATION))
            yield (
                f"Talos {self.talos_version} is newer than any whose machine configuration was tried with this release "
                f"(the newest is v{newest}): what is written has the form of v{newest}. Validate it with `talosctl "
                "validate` before you apply it."
            )
        yield from self.node.warnings
        if service_of(self.variant):
            subnets = self.node.subnets
            yield from tailnet.warnings(
                self._tailscale, self.told.key, join_cidr=self.told.join_cidr, node_subnets=subnets or ()
            )
            if warning := tailnet.address_warning(subnets):
                yield warning
        for service in self._configuration.extension_services:
            yield from self._missing_values(service)

    def _missing_values(self, service: ExtensionService) -> Iterator[str]:
        is_tailscale = service.name == tailnet.SERVICE
        given = {*self.told.environment, *self.told.unneeded} if is_tailscale else set[str]()
        for variable in service.environment:
            if variable.required and variable.value is None and variable.name not in given:
                way = ", or give --tailscale-auth-key" if is_tailscale and variable.name == tailnet.AUTH_KEY else ""
                yield (
                    f"{variable.name} of service {service.name} is a placeholder: put its value there before you "
                    f"apply this{way}"
                )

    def _node(self, form: Form, name: str, warnings: Iterable[str]) -> str:
        head = heads.node(
            form,
            name,
            f"variant {self.variant.name}, Talos {self.talos_version}",
            both=self._both,
            installs=self.installer is not None,
            has_manifests=self.node.kind is NodeKind.CONTROL_PLANE and bool(self._manifests()),
        )
        return comment([*head, *self._cautions(warnings)]) + "\n" + "---\n".join(self._node_documents(form))

    def _cautions(self, warnings: Iterable[str]) -> Iterator[str]:
        for warning in warnings:
            yield from ("", f"WARNING: {warning}")
        if self.told.has_auth_key:
            yield from ("", "This file holds an auth key: keep it from sight.")

    def _node_documents(self, form: Form, *, talm: bool = False) -> Iterator[str]:
        modules = self._configuration.kernel_modules
        sysctls = _IPV6_FORWARDING if tailnet.needs_ipv6_forwarding(self._tailscale) else {}
        in_node = self.installer is not None and (talm or not self._both)
        install = install_part(form, str(self.installer), self.node.disk) if in_node else None
        subnets = () if talm else self.node.subnets or ()
        parts = machine_parts(form, modules=modules, subnets=subnets, sysctls=sysctls, install=install)
        if self.node.kind is NodeKind.CONTROL_PLANE:
            etcd = () if talm else self.node.subnets or ()
            parts = merged([*parts, *cluster_parts(form, subnets=etcd, manifests=self._manifests())])
        reasons = [f"{module.name}: {module.reason}" for module in modules]
        if sysctls:
            reasons += _IPV6_REASON
        for number, part in enumerate(parts):
            yield comment(reasons if number == 0 else ()) + dump(part)
        for service in self._configuration.extension_services:
            made = self._service(service)
            yield comment(_service_reasons(service, made)) + dump(made)

    def _service(self, service: ExtensionService) -> Document:
        values = [f"{name}={value}" for name, value in environment(service, self.told).items()]
        files = [{"content": file.content, "mountPath": file.mount_path} for file in service.config_files]
        if not values and not files:
            raise UserError(
                f"service {service.name}: its ExtensionServiceConfig document would have neither environment nor "
                "files, which Talos refuses: give a variable a value in the variant, or add configFiles"
            )
        return document(
            "ExtensionServiceConfig",
            name=service.name,
            **({"configFiles": files} if files else {}),
            **({"environment": values} if values else {}),
        )

    def _install(self, form: Form, installer: Reference) -> str:
        name = INSTALL if form is Form.DOCUMENTS else OLDER + INSTALL
        part = install_part(form, str(installer), self.node.disk)
        head = heads.install(form, name, self.variant.name, disk=self.node.disk)
        body = {"machine": {"install": part}} if form is Form.FIELDS else part
        return comment(head) + "\n" + dump(body)

    def _manifests(self) -> dict[str, str]:
        needs = self._configuration.runtime_classes
        return {f"runtime-class-{need.name}": dump(_runtime_class(need)) for need in needs}

    def _cluster_files(self) -> Iterator[tuple[str, str]]:
        needs = self._configuration.runtime_classes
        reasons = [f"{need.name}: {need.reason}" for need in needs]
        if needs:
            usage = [f"Kubernetes objects for variant {self.variant.name}, once per cluster.", ""]
            usage += [f"    kubectl apply --filename {KUBERNETES}", ""]
            yield KUBERNETES, comment([*usage, *reasons]) + "---\n".join(dump(_runtime_class(need)) for need in needs)
        # With a kind of node, node.yaml has all that such a node needs.
        if self.node.kind is not None or not (needs or self.node.subnets):
            return
        yield CONTROL_PLANE, self._control_plane(Form.DOCUMENTS if self._both else Form.FIELDS, CONTROL_PLANE, reasons)
        if self._both:
            yield OLDER + CONTROL_PLANE, self._control_plane(Form.FIELDS, OLDER + CONTROL_PLANE, reasons)

    def _control_plane(self, form: Form, name: str, reasons: Iterable[str]) -> str:
        head = heads.control_plane(
            form, name, both=self._both, has_subnets=bool(self.node.subnets), has_manifests=bool(self._manifests())
        )
        parts = cluster_parts(form, subnets=self.node.subnets or (), manifests=self._manifests())
        return comment([*head, *reasons]) + "---\n".join(dump(part) for part in parts)

    def _talm_node(self, warnings: Iterable[str]) -> str:
        left_out = heads.expression(self.node.disk) if self.installer else ()
        return (
            comment([*heads.talm_node(self.variant.name), *left_out, *self._cautions(warnings)])
            + "\n"
            + "---\n".join(self._node_documents(Form.FIELDS, talm=True))
        )

    def _talm_values(self) -> str:
        """Return the lines of values.yaml; what counts for some nodes only is in their files."""
        lines: list[str] = []
        if self.installer and service_of(self.variant) is None:
            lines.append(comment(heads.TALM_IMAGE) + dump({"image": str(self.installer)}))
        elif self.installer:
            lines.append(comment(heads.TALM_NO_IMAGE) + f"#     talm upgrade --image {self.installer}\n")
        if self.node.subnets:
            lines.append(comment(heads.TALM_SUBNETS) + dump({"advertisedSubnets": list(self.node.subnets)}))
        return "\n".join([comment(heads.TALM_HEAD), *lines])


def _service_reasons(service: ExtensionService, made: Document) -> list[str]:
    written = {entry.partition("=")[0] for entry in made.get("environment", [])}
    lines = [f"{service.name}: {service.reason}"]
    lines += [f"{one.name}: {one.description}" for one in service.environment if one.name in written]
    lines += [f"(not set) {one.name}: {one.description}" for one in service.environment if one.name not in written]
    return lines


def _runtime_class(need: RuntimeClassNeed) -> Document:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": need.name},
        "handler": need.handler,
    }
