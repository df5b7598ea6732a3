"""The two forms of machine configuration, by Talos version; kinds of node; talm's files.

What `make_machine_config` returns for both variants and v1.11.3, v1.12.6, v1.13.6 and v1.14.0-rc.1 was also loaded,
applied to new configurations of workers and control plane nodes, and validated, by Talos's own machinery (Go module
github.com/siderolabs/talos/pkg/machinery) of the same versions.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ci.common.errors import UserError
from ci.common.references import parse_reference
from ci.node.documents import DISK_PLACEHOLDER
from ci.node.machine_config import MachineConfig, make_machine_config
from ci.node.request import NodeSettings, check_disk, parse_disk, parse_kind, parse_subnets
from ci.node.tailscale import Asked, settings
from ci.plan.quirks import quirks
from tests.unit.node.test_machine_config import document_errors
from tests.unit.planning import builtin, variant

OLD = ("v1.11.3", "v1.12.6", "v1.13.6")
NEW = "v1.14.0-rc.1"
INSTALLER = parse_reference("registry.example.com/talos/talos:spin-only-v1.13.6-v1.6.2")
SUBNETS = ("192.168.1.0/24",)
MODULES = [
    {"name": "zfs"},
    {"name": "spl"},
    {"name": "drbd", "parameters": ["usermode_helper=disabled"]},
    {"name": "openvswitch"},
]
RUNTIME_CLASS = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: wasmtime-spin-v2\nhandler: spin\n"
IPV6 = {"net.ipv6.conf.all.forwarding": "1"}


def made(
    talos: str, name: str = "spin-only", node: NodeSettings | None = None, *, installer: bool = True, **asked: Any
) -> MachineConfig:
    chosen = builtin(name)
    return make_machine_config(
        chosen, talos, settings(chosen, Asked(**asked)), INSTALLER if installer else None, node or NodeSettings()
    )


def documents(text: str) -> list[Any]:
    found = list(yaml.safe_load_all(text))
    assert [error for document in found for error in document_errors(document)] == []
    return found


def kinds(text: str) -> list[str]:
    return [document.get("kind", "fields") for document in documents(text)]


# Forms


@pytest.mark.parametrize("talos", OLD)
def test_before_v1_14_all_is_fields_of_one_document(talos: str) -> None:
    found = made(talos, node=NodeSettings(SUBNETS, disk="/dev/sda")).files
    assert sorted(found) == ["controlplane.yaml", "kubernetes.yaml", "node.yaml"]
    assert documents(found["node.yaml"]) == [
        {
            "machine": {
                "install": {"image": str(INSTALLER), "disk": "/dev/sda"},
                "kubelet": {"nodeIP": {"validSubnets": ["192.168.1.0/24"]}},
                "kernel": {"modules": MODULES},
            }
        }
    ]
    assert documents(found["controlplane.yaml"]) == [
        {
            "cluster": {
                "etcd": {"advertisedSubnets": ["192.168.1.0/24"]},
                "inlineManifests": [{"name": "runtime-class-wasmtime-spin-v2", "contents": RUNTIME_CLASS}],
            }
        }
    ]


def test_from_v1_14_on_there_is_a_document_for_each_matter() -> None:
    found = made(NEW, node=NodeSettings(SUBNETS)).files
    modules = [{"apiVersion": "v1alpha1", "kind": "KernelModuleConfig", **module} for module in MODULES]
    assert documents(found["node.yaml"]) == [
        *modules,
        {"apiVersion": "v1alpha1", "kind": "KubeNodeConfig", "nodeIP": {"validSubnets": ["192.168.1.0/24"]}},
    ]
    assert documents(found["controlplane.yaml"]) == [
        {"cluster": {"etcd": {"advertisedSubnets": ["192.168.1.0/24"]}}},
        {
            "apiVersion": "v1alpha1",
            "kind": "KubeInlineManifestConfig",
            "name": "runtime-class-wasmtime-spin-v2",
            "manifest": RUNTIME_CLASS,
        },
    ]


def test_from_v1_14_on_what_is_installed_is_a_patch_of_its_own_in_both_forms() -> None:
    found = made(NEW, node=NodeSettings(disk="/dev/nvme0n1")).files
    assert documents(found["install.yaml"]) == [
        {
            "apiVersion": "v1alpha1",
            "kind": "UnattendedInstallConfig",
            "installer": {"image": str(INSTALLER)},
            "provisioning": {"diskSelector": {"match": 'disk.dev_path == "/dev/nvme0n1"'}},
        }
    ]
    assert documents(found["v1alpha1/install.yaml"]) == [
        {"machine": {"install": {"image": str(INSTALLER), "disk": "/dev/nvme0n1"}}}
    ]
    assert "install" not in {key for one in documents(found["v1alpha1/node.yaml"]) for key in one.get("machine", {})}
    for name in ("node.yaml", "install.yaml", "controlplane.yaml"):
        assert "machine.install" in found[name]
        assert "documents such as UnattendedInstallConfig" in found["v1alpha1/" + name]


def test_without_a_disk_a_placeholder_that_talos_refuses_stands_there() -> None:
    found = made(NEW).files
    assert documents(found["install.yaml"])[0]["provisioning"] == {"diskSelector": {"match": DISK_PLACEHOLDER}}
    assert "--install-disk" in found["install.yaml"]
    assert documents(found["v1alpha1/install.yaml"]) == [{"machine": {"install": {"image": str(INSTALLER)}}}]


def test_an_expression_selects_a_disk_in_a_document_only() -> None:
    expression = "disk.transport == 'nvme'"
    found = made(NEW, node=NodeSettings(disk=parse_disk(expression, NEW))).files
    assert documents(found["install.yaml"])[0]["provisioning"]["diskSelector"]["match"] == expression
    assert documents(found["v1alpha1/install.yaml"]) == [{"machine": {"install": {"image": str(INSTALLER)}}}]
    assert "--install-disk is an expression" in found["v1alpha1/install.yaml"]
    assert "--install-disk is an expression" not in found["install.yaml"]
    with pytest.raises(UserError) as raised:
        parse_disk(expression, "v1.13.6")
    assert str(raised.value) == (f"--install-disk: Talos v1.13.6 takes a path such as /dev/sda, not {expression!r}")


@pytest.mark.parametrize(("disk", "is_said"), [("disk.rotational", True), ("/dev/sda", False), (None, False)])
def test_talms_file_says_where_it_leaves_an_expression_out(disk: str | None, *, is_said: bool) -> None:
    found = made(NEW, node=NodeSettings(disk=disk, talm=True)).files
    for name in ("talm/node.yaml", "v1alpha1/install.yaml"):
        assert ("--install-disk is an expression" in found[name]) is is_said


def test_a_disk_without_an_installer_is_refused() -> None:
    """No patch would have it."""
    check_disk(None, has_installer=False)
    check_disk("/dev/sda", has_installer=True)
    with pytest.raises(UserError) as raised:
        check_disk("/dev/sda", has_installer=False)
    assert str(raised.value) == (
        "--install-disk: '/dev/sda' goes next to the installer's reference, and without --installer no patch has one: "
        "add --installer with the reference that publish prints, or leave --install-disk out, and give it to `talosctl "
        "gen config`, which has it as well"
    )


def test_without_an_installer_there_is_no_patch_for_it() -> None:
    found = made(NEW, installer=False).files
    assert [name for name in found if "install" in name] == []
    assert "installer.image of UnattendedInstallConfig" in found["node.yaml"]


@pytest.mark.parametrize("talos", [*OLD, NEW])
def test_the_older_form_is_the_same_for_every_version(talos: str) -> None:
    """A node of an older Talos takes it before it is upgraded."""
    found = made(talos, "spin-tailscale", NodeSettings(SUBNETS), installer=False).files
    reference = made("v1.13.6", "spin-tailscale", NodeSettings(SUBNETS), installer=False).files
    older = "v1alpha1/" if talos == NEW else ""
    for name in ("node.yaml", "controlplane.yaml"):
        assert documents(found[older + name]) == documents(reference[name])


def test_a_talos_that_nobody_has_tried_is_reported_and_gets_the_newest_form() -> None:
    found = made("v1.15.0-alpha.0")
    assert [warning.split(",")[0] for warning in found.warnings] == [
        (
            "Talos v1.15.0-alpha.0 is newer than any whose machine configuration was tried with this release (the "
            "newest is v1.14): what is written has the form of v1.14. Validate it with `talosctl validate` before you "
            "apply it."
        )
    ]
    assert kinds(found.files["node.yaml"]) == kinds(made(NEW).files["node.yaml"])
    assert made(NEW).warnings == ()


def test_documents_are_known_by_version() -> None:
    assert not quirks("v1.13.6").knows_document("KernelModuleConfig")
    assert quirks(NEW).knows_document("KernelModuleConfig")
    assert quirks("v1.11.3").knows_document("ExtensionServiceConfig")


# IPv6


@pytest.mark.parametrize(
    ("talos", "name", "expected"),
    [
        ("v1.13.6", "node.yaml", {"machine": {"sysctls": IPV6, "kernel": {"modules": MODULES}}}),
        (NEW, "node.yaml", {"apiVersion": "v1alpha1", "kind": "SysctlConfig", "params": IPV6}),
        (NEW, "v1alpha1/node.yaml", {"machine": {"sysctls": IPV6, "kernel": {"modules": MODULES}}}),
    ],
)
def test_an_ipv6_route_sets_forwarding(talos: str, name: str, expected: Any) -> None:
    def found(**asked: Any) -> str:
        return made(talos, "spin-tailscale", installer=False, **asked).files[name]

    with_route = found(routes=["10.244.0.0/16,fd00:10:244::/56"])
    assert expected in documents(with_route)
    assert "net.ipv6.conf.all.forwarding: a route is IPv6" in with_route
    assert "forwarding" not in found()
    assert expected in documents(found(arguments="--advertise-exit-node"))


def test_an_ipv6_route_of_the_variant_itself_sets_forwarding() -> None:
    chosen = variant(
        "configuration:\n  extensionServices:\n    - name: tailscale\n      reason: r\n"
        "      environment: [{name: TS_ROUTES, description: d, value: 'fd00::/64'}]\n"
    )
    found = make_machine_config(chosen, "v1.13.6", settings(chosen, Asked())).files["node.yaml"]
    assert documents(found)[0] == {"machine": {"sysctls": IPV6}}


# Kinds of node


def test_a_control_plane_nodes_patch_holds_all_that_it_needs() -> None:
    node = NodeSettings(SUBNETS, parse_kind("controlplane", builtin("spin-only")))
    old, new = made("v1.13.6", node=node).files, made(NEW, node=node).files
    assert sorted(old) == ["kubernetes.yaml", "node.yaml"]
    (found,) = documents(old["node.yaml"])
    assert list(found) == ["machine", "cluster"]
    assert found["cluster"]["etcd"] == {"advertisedSubnets": ["192.168.1.0/24"]}
    assert [entry["name"] for entry in found["cluster"]["inlineManifests"]] == ["runtime-class-wasmtime-spin-v2"]
    assert "talosctl machineconfig patch controlplane.yaml" in old["node.yaml"]
    assert "Talos refuses the second patch" in old["node.yaml"]
    assert kinds(new["node.yaml"]) == [
        "fields",
        *["KernelModuleConfig"] * 4,
        "KubeNodeConfig",
        "KubeInlineManifestConfig",
    ]


@pytest.mark.parametrize(("name", "kind"), [("spin-only", "worker"), ("spin-tailscale", "router")])
def test_a_workers_and_a_routers_patch_has_nothing_of_the_cluster(name: str, kind: str) -> None:
    """Talos refuses etcd's settings on a worker."""
    chosen = builtin(name)
    found = made("v1.13.6", name, NodeSettings(SUBNETS, parse_kind(kind, chosen))).files
    assert sorted(found) == ["kubernetes.yaml", "node.yaml"]
    assert "cluster" not in documents(found["node.yaml"])[0]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("wroker", "spin-only", "--for: unknown kind of node 'wroker': did you mean worker?"),
        ("node", "spin-only", "--for: unknown kind of node 'node': choose one of controlplane, worker, router"),
        ("router", "spin-only",
         "--for router: nodes of variant spin-only do not run Tailscale: choose a variant that does"),
        ("worker", "spin-tailscale",
         ("--for worker: nodes of variant spin-tailscale route networks into a tailnet: give --for router for the one "
          "that is to be, and a variant that does not for workers")),
    ],
)  # fmt: skip
def test_a_kind_of_node_that_does_not_fit_is_refused(text: str, name: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_kind(text, builtin(name))
    assert str(raised.value) == message


def test_a_worker_may_run_tailscale_where_it_routes_nothing() -> None:
    reachable = variant(
        "configuration:\n  extensionServices:\n    - name: tailscale\n      reason: r\n"
        "      environment: [{name: TS_AUTHKEY, description: d, required: true, secret: true}]\n"
    )
    assert parse_kind("worker", reachable) == "worker"
    assert parse_kind("router", reachable) == "router"


def test_subnets_are_read_and_excluded_ones_stay_excluded() -> None:
    assert parse_subnets(["192.168.1.0/24, !192.168.1.9/32", "fd00::/64"]) == (
        "192.168.1.0/24",
        "!192.168.1.9/32",
        "fd00::/64",
    )
    assert parse_subnets(None) is None


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["192.168.1.0"],
         ("--node-subnets: bad network: 192.168.1.0 has no prefix length; write it as 192.168.1.0/24, or "
          "192.168.1.0/32 for one address")),
        ([""], "--node-subnets: no network is given that a node's address may be in"),
        (["!10.0.0.0/8"], "--node-subnets: no network is given that a node's address may be in"),
    ],
)  # fmt: skip
def test_wrong_subnets_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_subnets(texts)
    assert str(raised.value) == message


# talm


def test_talms_files_have_the_older_form_and_cluster_wide_values() -> None:
    """talm's templates write machine.install and choose nodes' networks by advertisedSubnets (cozystack/talm)."""
    found = made(NEW, node=NodeSettings(SUBNETS, talm=True)).files
    assert documents(found["talm/node.yaml"]) == [
        {"machine": {"install": {"image": str(INSTALLER)}, "kernel": {"modules": MODULES}}}
    ]
    assert yaml.safe_load(found["talm/values.yaml"]) == {
        "image": str(INSTALLER),
        "advertisedSubnets": ["192.168.1.0/24"],
    }
    assert "talm/node.yaml" not in made(NEW).files


def test_a_routers_image_is_not_every_nodes() -> None:
    found = made("v1.13.6", "spin-tailscale", NodeSettings(talm=True)).files
    assert yaml.safe_load(found["talm/values.yaml"]) is None
    assert f"talm upgrade --image {INSTALLER}" in found["talm/values.yaml"]
    machine, service = documents(found["talm/node.yaml"])
    assert machine["machine"]["install"] == {"image": str(INSTALLER)}
    assert service["kind"] == "ExtensionServiceConfig"
