"""Comments at the head of the files that `machine-config` writes, and the files' names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.node.documents import Form

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE: Final = "node.yaml"
KUBERNETES: Final = "kubernetes.yaml"
CONTROL_PLANE: Final = "controlplane.yaml"
INSTALL: Final = "install.yaml"
#: Folder of the patches for a configuration of the older form.
OLDER: Final = "v1alpha1/"
TALM_NODE: Final = "talm/node.yaml"
TALM_VALUES: Final = "talm/values.yaml"

_NO_INSTALLER: Final = """
A new node installs what {field} names, not what it booted.
That has to be this variant's installer: give machine-config the reference that publish prints, as --installer."""

_INSTALL_FIELD: Final = "machine.install.image"

_NODE: Final = """\

    talosctl patch machineconfig --nodes NODE --patch @{name}                         a running node
    talosctl machineconfig patch {base} --patch @{name} --output THIS-NODE.yaml  a new node

Patch a node once. Talos adds what a patch lists to what is there: of a module that is listed twice the last
entry's parameters count, so take parameters of your own over into this file; of a variable that is set twice
the service may take the old value."""

_FOR_DOCUMENTS: Final = f"""
For a configuration with documents such as UnattendedInstallConfig, as talosctl writes it from v1.14 on. One with
machine.install, or a node that still runs an older Talos, takes the file of the same name in {OLDER} instead."""

_FOR_FIELDS: Final = f"""
For a configuration with machine.install (made by talosctl before v1.14, or by talm), and for a node that still
runs an older Talos. One with documents such as UnattendedInstallConfig refuses machine.install and
machine.kubelet.nodeIP: it takes the file of the same name outside of {OLDER}."""

_DISK: Final = """
Put an expression that selects the disk in place of the placeholder, as the configuration has it (such as
disk.dev_path == "/dev/sda"), or give machine-config --install-disk: this patch replaces the whole of
provisioning, and without an expression no disk is selected."""

_NO_EXPRESSION: Final = """
The disk is not in it: machine.install.disk takes a path, and --install-disk is an expression. The configuration's own
disk stays."""

_OBJECTS: Final = f"""\
The objects of {KUBERNETES} for a new cluster: Talos creates them itself. A patch for control plane nodes;
other nodes ignore it."""

TALM_HEAD: Final = ("For talm: lines of values.yaml, which count for all nodes of the cluster.",)
TALM_IMAGE: Final = ("For nodes whose own file does not name another; `talm upgrade` takes it as well.",)
TALM_NO_IMAGE: Final = (
    "No image here: this variant is for routers, and image counts for all nodes. The router's own file names it, and",
    "this upgrades it:",
)
TALM_SUBNETS: Final = ("From these networks nodes and etcd take their address.",)


_ONCE_MORE: Final = """\
Of a control plane node Talos refuses the second patch: a manifest's name may be there once."""


def node(
    form: Form, name: str, subject: str, *, both: bool, installs: bool, has_manifests: bool = False
) -> Iterator[str]:
    """Yield the head of a node's patch; `both` says whether a configuration may have either form."""
    yield f"Talos machine configuration for nodes of {subject}: a patch."
    yield from which(form, both=both)
    yield _NODE.format(name=name, base=CONTROL_PLANE if has_manifests else "worker.yaml")
    if has_manifests and form is Form.FIELDS:
        yield _ONCE_MORE
    if not installs:
        yield _NO_INSTALLER.format(
            field=f"{_INSTALL_FIELD} (or installer.image of UnattendedInstallConfig)" if both else _INSTALL_FIELD
        )
    elif both:
        yield from ("", f"A new node needs {_folder(form)}{INSTALL} as well.")


def which(form: Form, *, both: bool = True) -> Iterator[str]:
    """Yield which configuration a patch is for, where there are two forms."""
    if both:
        yield _FOR_DOCUMENTS if form is Form.DOCUMENTS else _FOR_FIELDS


def _folder(form: Form) -> str:
    return OLDER if form is Form.FIELDS else ""


def install(form: Form, name: str, variant: str, *, disk: str | None) -> Iterator[str]:
    """Yield the head of the patch that says what a new node installs."""
    yield f"What a new node of variant {variant} installs on which disk: a patch in addition to {_folder(form)}{NODE}."
    yield "A node that is installed already does not need it."
    yield from which(form)
    yield from ("", f"    talosctl machineconfig patch THIS-NODE.yaml --patch @{name} --output THIS-NODE.yaml")
    if form is Form.DOCUMENTS and disk is None:
        yield _DISK
    if form is Form.FIELDS:
        yield from expression(disk)


def expression(disk: str | None) -> Iterator[str]:
    """Yield that a patch of the older form leaves an expression for the disk out, where one is given."""
    if disk is not None and not disk.startswith("/"):
        yield _NO_EXPRESSION


def control_plane(form: Form, name: str, *, both: bool, has_subnets: bool, has_manifests: bool) -> Iterator[str]:
    """Yield the head of the patch for control plane nodes."""
    if has_manifests:
        yield _OBJECTS
    if has_subnets:
        yield "With etcd's networks in it, Talos refuses it for nodes that are not of the control plane."
    yield from which(form, both=both)
    yield from ("", f"    talosctl gen config CLUSTER ENDPOINT --config-patch-control-plane @{name}", "")
    if has_subnets:
        yield "cluster.etcd.advertisedSubnets: by these networks etcd's members reach each other"


def talm_node(variant: str) -> Iterator[str]:
    """Yield the head of a node's file for talm."""
    yield f"For talm, a node of variant {variant}: put this below the first line (# talm: …) of nodes/NODE.yaml."
    yield "That line names one node. talm merges this over what its templates make, at each `talm apply`."
