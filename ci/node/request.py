"""What is requested of machine configuration, apart from services: kind of node, networks, disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ci.common.errors import UserError, suggest
from ci.node.networks import NetworkError, parse_network, split
from ci.node.tailnet import ROUTES
from ci.node.tailscale import service_of
from ci.plan.quirks import quirks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.load.variant import Variant


class NodeKind(StrEnum):
    """What a node is in its cluster."""

    CONTROL_PLANE = "controlplane"
    WORKER = "worker"
    ROUTER = "router"


@dataclass(frozen=True)
class NodeSettings:
    """Settings of a node that do not follow from its variant."""

    #: Networks that the node's own address may be in; `None` leaves the choice to Talos.
    subnets: tuple[str, ...] | None = None
    kind: NodeKind | None = None
    #: Path of the disk to install on, or an expression that selects it.
    disk: str | None = None
    #: Whether talm's form is written as well.
    talm: bool = False
    #: Warnings about the installer.
    warnings: tuple[str, ...] = ()


def parse_kind(text: str | None, variant: Variant) -> NodeKind | None:
    """Read what a node is. Raises `UserError` where the variant is not for such a node."""
    if text is None:
        return None
    if text not in list(NodeKind):
        raise UserError(f"--for: unknown kind of node {text!r}: {suggest(text, list(NodeKind))}")
    kind, service = NodeKind(text), service_of(variant)
    if kind is NodeKind.ROUTER and service is None:
        raise UserError(
            f"--for router: nodes of variant {variant.name} do not run Tailscale: choose a variant that does"
        )
    if kind is NodeKind.WORKER and service and any(one.name == ROUTES for one in service.environment):
        raise UserError(
            f"--for worker: nodes of variant {variant.name} route networks into a tailnet: give --for router for "
            "the one that is to be, and a variant that does not for workers"
        )
    return kind


def parse_subnets(texts: Iterable[str] | None) -> tuple[str, ...] | None:
    """Read the networks of nodes' own addresses; `!` before one excludes it. Raises `UserError`."""
    if texts is None:
        return None
    subnets: list[str] = []
    for text in split(texts):
        try:
            subnets.append("!" * text.startswith("!") + parse_network(text.removeprefix("!")))
        except NetworkError as error:
            raise UserError(f"--node-subnets: bad network: {error}") from None
    if all(subnet.startswith("!") for subnet in subnets):
        raise UserError("--node-subnets: no network is given that a node's address may be in")
    return tuple(dict.fromkeys(subnets))


def check_disk(text: str | None, *, has_installer: bool) -> None:
    """Refuse a disk where no patch says what is installed. Raises `UserError`."""
    if text is not None and not has_installer:
        raise UserError(
            f"--install-disk: {text!r} goes next to the installer's reference, and without --installer no patch has "
            "one: add --installer with the reference that publish prints, or leave --install-disk out, and give it to "
            "`talosctl gen config`, which has it as well"
        )


def parse_disk(text: str | None, talos_version: str) -> str | None:
    """Read the disk to install on. Raises `UserError` for an expression where only a path is possible."""
    if text is not None and not text.startswith("/dev/") and not quirks(talos_version).has_documents:
        raise UserError(f"--install-disk: Talos {talos_version} takes a path such as /dev/sda, not {text!r}")
    if text is not None and (not text.strip() or "\n" in text):
        raise UserError("--install-disk: give a path such as /dev/sda, or an expression in CEL on one line")
    return text
