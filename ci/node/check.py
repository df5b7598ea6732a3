"""A user's machine configurations against a variant: what is missing, and what contradicts it.

No text here has a value from a file but names, references and networks that match their grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ci.common.errors import ReferenceSyntaxError
from ci.common.references import parse_reference
from ci.load.configuration import placeholder
from ci.node import tailnet
from ci.node.installer import mistakes, open_questions
from ci.node.keys import IN_TEXT
from ci.node.networks import NetworkError, parse_network, split
from ci.node.tailscale import service_of
from ci.plan.quirks import quirks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.load.configuration import ExtensionService
    from ci.load.variant import Variant
    from ci.node.configuration_file import Installer, NodeConfiguration, ServiceConfig, Subnets
    from ci.node.services import Service
    from ci.plan.model import Plan

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_NETWORKS: Final = re.compile(r"[0-9a-fA-F:./, ]*[.:][0-9a-fA-F:./, ]*")
_FORWARDING: Final = "net.ipv6.conf.all.forwarding"
#: Modules that the templates of talm's preset cozystack load (charts/cozystack, `talos.config.machine.common`).
_OF_TALM: Final = ("openvswitch", "drbd", "zfs", "spl")

#: Kinds of documents, and the fields that Talos refuses next to them (`V1Alpha1ConflictValidate`, v1.14.0-rc.1).
_EXCLUDED: Final = (
    ("UnattendedInstallConfig", ("machine", "install")),
    ("KubeNodeConfig", ("machine", "kubelet", "nodeIP")),
    ("KubeNodeConfig", ("machine", "nodeLabels")),
    ("KubeNodeConfig", ("machine", "nodeAnnotations")),
    ("KubeNodeConfig", ("machine", "nodeTaints")),
    ("KubeNodeConfig", ("cluster", "allowSchedulingOnControlPlanes")),
    ("KubeletConfig", ("machine", "kubelet")),
)


class Level(StrEnum):
    """What a finding means for the node."""

    #: The node would not come up, or not be what it is to be.
    PROBLEM = "problem"
    #: What to know or to look at.
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a file."""

    level: Level
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Subject:
    """What configurations are checked against."""

    variant: Variant
    plan: Plan
    #: The services of the image's extensions.
    services: tuple[Service, ...]
    #: Names of all variants.
    variants: tuple[str, ...]

    @property
    def tailscale_version(self) -> str | None:
        """Tailscale's version in the image."""
        return next((one.version for one in self.plan.extensions if one.name == tailnet.SERVICE), None)


def check(found: NodeConfiguration, subject: Subject) -> list[Finding]:
    """Return what was found in one file, in the order of the questions."""
    return [
        *_forms(found, subject),
        *_modules(found, subject),
        *_services(found, subject),
        *_installers(found, subject),
        *_addresses(found, subject),
        *_runtime_classes(found, subject),
    ]


def render(results: Iterable[tuple[NodeConfiguration, list[Finding]]], subject: Subject) -> str:
    """Return the findings of all files as text."""
    files = list(results)
    lines: list[str] = []
    for found, findings in files:
        kind = found.machine_type or "a patch"
        lines.append(f"{found.file} ({_shown(kind)}{', talm' if found.is_talm else ''}):")
        for finding in findings:
            place = f"line {finding.line}: " if finding.line else ""
            lines.append(f"  {finding.level.value:<8} {place}{finding.text}")
        if not any(finding.level is Level.PROBLEM for finding in findings):
            lines.append(f"  ok       it has what a node of variant {subject.variant.name} needs")
    lines += [f"all files:\n  note     {text}" for text in _of_the_cluster([found for found, _ in files])]
    return "\n".join(lines) + "\n"


def _of_the_cluster(files: list[NodeConfiguration]) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for found in files:
        if service := found.services.get(tailnet.SERVICE):
            names.setdefault(service.environment.get("TS_HOSTNAME", ""), []).append(found.file)
    for name, those in names.items():
        if name and len(those) > 1:
            yield f"{', '.join(those)} give the same name in the tailnet (TS_HOSTNAME); Tailscale renames the later one"


def _problem(text: str, line: int | None = None) -> Finding:
    return Finding(Level.PROBLEM, text, line)


def _note(text: str, line: int | None = None) -> Finding:
    return Finding(Level.NOTE, text, line)


def _shown(text: str) -> str:
    return text if _NAME.fullmatch(text) and not IN_TEXT.search(text) else "(a name that is not shown)"


def _forms(found: NodeConfiguration, subject: Subject) -> Iterator[Finding]:
    version = subject.plan.talos_version
    for kind, line in found.kinds.items():
        if not quirks(version).knows_document(kind):
            yield _problem(
                f"Talos {version} does not know documents of kind {_shown(kind)}, and refuses the whole", line
            )
    for kind, path in _EXCLUDED:
        if kind in found.kinds and found.has(*path):
            yield _problem(f"Talos refuses {'.'.join(path)} next to a document {kind}", found.kinds[kind])


def _modules(found: NodeConfiguration, subject: Subject) -> Iterator[Finding]:
    for wanted in subject.variant.spec.configuration.kernel_modules:
        module = found.modules.get(wanted.name)
        if module is None:
            if found.is_talm and found.is_partial and wanted.name in _OF_TALM:
                yield _note(f"kernel module {wanted.name} is not in this file; talm's preset cozystack loads it")
            else:
                yield _problem(f"kernel module {wanted.name} is not loaded: {wanted.reason}")
            continue
        if missing := [one for one in wanted.parameters if one not in module.parameters]:
            yield _problem(f"kernel module {wanted.name} lacks the parameter {', '.join(missing)}", module.line)


def _services(found: NodeConfiguration, subject: Subject) -> Iterator[Finding]:
    configured = {service.name: service for service in subject.variant.spec.configuration.extension_services}
    waiting = {service.name for service in subject.services if service.configuration} | set(configured)
    known = {service.name for service in subject.services} | set(configured)
    for name in sorted(waiting - set(found.services)):
        yield _problem(
            f"there is no ExtensionServiceConfig document for service {name}: the node waits for it, and does not "
            "finish its boot"
        )
    for name, given in found.services.items():
        if name not in known:
            yield _problem(
                f"ExtensionServiceConfig {_shown(name)}: no extension of variant {subject.variant.name} has such a "
                "service: the configuration is for another image",
                given.line,
            )
            continue
        if not given.environment and not given.has_files:
            yield _problem(
                f"ExtensionServiceConfig {name} has neither environment nor files: Talos refuses it", given.line
            )
        yield from (
            _problem(f"service {name}: {_shown(variable)} is set more than once", given.line)
            for variable in dict.fromkeys(given.repeated)
        )
        if name in configured:
            yield from _variables(configured[name], given)
    if (given := found.services.get(tailnet.SERVICE)) and service_of(subject.variant):
        yield from _tailscale(found, given, subject)


def _variables(service: ExtensionService, given: ServiceConfig) -> Iterator[Finding]:
    federated = service.name == tailnet.SERVICE and tailnet.CLIENT_ID in given.environment
    for variable in service.environment:
        value = given.environment.get(variable.name)
        if value == placeholder(variable.name):
            yield _problem(f"service {service.name}: {variable.name} is still a placeholder", given.line)
        elif not value and variable.required and not (federated and variable.name == tailnet.AUTH_KEY):
            yield _problem(f"service {service.name}: {variable.name} is not set ({variable.description})", given.line)
        elif variable.value is not None and value != variable.value:
            state = "is not set" if value is None else "has another value than in the variant"
            yield _note(f"service {service.name}: {variable.name} {state} ({variable.description})", given.line)


def _tailscale(found: NodeConfiguration, given: ServiceConfig, subject: Subject) -> Iterator[Finding]:
    values: dict[str, str] = {}
    for name, value in given.environment.items():
        if name not in (tailnet.AUTH_KEY, "TS_AUTH_KEY", "TS_CLIENT_SECRET", "TS_ID_TOKEN") and IN_TEXT.search(value):
            yield _problem(f"service {tailnet.SERVICE}: there is a key in {_shown(name)}: {tailnet.AUTH_KEY} is for it")
        elif name == tailnet.ROUTES and value and not _NETWORKS.fullmatch(value):
            yield _problem(f"service {tailnet.SERVICE}: {name} is not a list of networks", given.line)
        else:
            values[name] = value
    for variable, text in tailnet.problems(values, version=subject.tailscale_version):
        yield _problem(f"service {tailnet.SERVICE}: {variable}: {text}", given.line)
    for text in tailnet.warnings(values, node_subnets=_readable(found.node_subnets)):
        yield _note(" ".join(text.split()), given.line)
    service = service_of(subject.variant)
    routed = service is not None and any(one.name == tailnet.ROUTES for one in service.environment)
    if routed and tailnet.ROUTES not in given.environment:
        yield _problem(f"service {tailnet.SERVICE}: {tailnet.ROUTES} is not set: the node routes nothing", given.line)
    if tailnet.needs_ipv6_forwarding(values) and found.sysctls.get(_FORWARDING) != "1":
        yield _problem(f'a route is IPv6, and no sysctl sets {_FORWARDING} to "1": the service does not start')


def _installers(found: NodeConfiguration, subject: Subject) -> Iterator[Finding]:
    if not found.installers:
        if found.is_talm:
            yield _note("no installer is named here: a new node installs image of values.yaml")
        elif not found.is_partial:
            yield _problem("no installer is named: a new node would not install this variant's image")
    for installer in found.installers:
        yield from _installer(installer, subject)


def _installer(installer: Installer, subject: Subject) -> Iterator[Finding]:
    try:
        reference = parse_reference(installer.text)
    except ReferenceSyntaxError:
        yield _problem(f"{installer.place} is not an image reference with registry and tag or digest", installer.line)
        return
    wrong = [
        _problem(f"{installer.place}: {text}", installer.line)
        for text in mistakes(reference, subject.plan, subject.variants)
    ]
    yield from wrong or (
        _note(f"{installer.place}: {text}", installer.line) for text in open_questions(reference, subject.plan)
    )


def _readable(subnets: Subnets | None) -> tuple[str, ...]:
    """Return the networks among those of a file, each as it is written; what is not a network is left out."""
    found: list[str] = []
    for text in split(subnets.networks if subnets else ()):
        try:
            parse_network(text.removeprefix("!"))
        except NetworkError:
            continue
        found.append(text)
    return tuple(found)


def _addresses(found: NodeConfiguration, subject: Subject) -> Iterator[Finding]:
    if service_of(subject.variant) is None:
        return
    places = [("machine.kubelet.nodeIP.validSubnets (or nodeIP of KubeNodeConfig)", found.node_subnets)]
    if found.machine_type == "controlplane":
        places.append(("cluster.etcd.advertisedSubnets", found.etcd_subnets))
    for place, subnets in places:
        if subnets is None and found.is_talm and found.is_partial:
            yield _note(
                f"{place} is not in this file: talm takes it from values.yaml, or from the node's default route"
            )
        elif subnets is None:
            yield _problem(
                f"{place} is not set: with Tailscale on it, the node may take the tailnet's address as its own"
            )
        elif not any(not one.startswith("!") for one in _readable(subnets)):
            yield _problem(f"{place} names no network that the node's address may be in", subnets.line)
        elif inside := tailnet.with_tailnet(_readable(subnets)):
            yield _problem(
                f"{place}: {', '.join(inside)} overlaps the range from which Tailscale gives addresses", subnets.line
            )


def _runtime_classes(found: NodeConfiguration, subject: Subject) -> Iterator[Finding]:
    for need in subject.variant.spec.configuration.runtime_classes:
        handler = found.runtime_classes.get(need.name)
        if handler is not None and handler != need.handler:
            yield _problem(f"RuntimeClass {need.name} has another handler than {need.handler}")
        elif handler is None and found.machine_type == "controlplane":
            yield _note(
                f"RuntimeClass {need.name} is not among the manifests: apply kubernetes.yaml, or "
                "give controlplane.yaml to a new cluster"
            )
        elif handler is not None and found.machine_type == "worker":
            yield _note(f"RuntimeClass {need.name} is among a worker's manifests: no worker creates it")
    for name, line in found.repeated_manifests.items():
        yield _problem(f"inline manifest {_shown(name)} is there twice: Talos refuses the configuration", line)
