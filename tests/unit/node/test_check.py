"""Users' configurations against a variant: what is missing, what contradicts it, and that no secret is shown.

Configurations that Talos's own machinery made (v1.11.3, v1.12.6, v1.13.6, v1.14.0-rc.1, in both forms), patched with
what `make_machine_config` returns for both variants, had no problem in this check; unpatched they had those of here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.node.check import Finding, Level, Subject, check, render
from ci.node.configuration_file import read_configuration
from ci.node.machine_config import make_machine_config
from ci.node.request import NodeSettings
from ci.node.tailscale import Asked, settings
from tests.unit.node.test_installer import PUBLISHED
from tests.unit.node.test_services import SERVICES
from tests.unit.planning import builtin, plan_of, request

if TYPE_CHECKING:
    from ci.plan.model import Plan

SECRET = "SECRETSECRETSECRET"
ROUTER_IMAGE = PUBLISHED.replace("spin-only", "spin-tailscale")

#: A worker that `talosctl gen config` made (shortened), with what nodes of spin-only need.
WORKER = f"""\
version: v1alpha1
machine:
  type: worker
  token: {SECRET}
  ca:
    crt: {SECRET}
    key: ""
  install:
    disk: /dev/sda
    image: {PUBLISHED}
  kernel:
    modules:
    - name: zfs
    - name: spl
    - name: drbd
      parameters: [usermode_helper=disabled]
    - name: openvswitch
cluster:
  secret: {SECRET}
---
apiVersion: v1alpha1
kind: HostnameConfig
auto: stable
"""
SUBNETS = "  kubelet:\n    nodeIP:\n      validSubnets: [192.168.1.0/24]\n"
SERVICE = f"""\
---
apiVersion: v1alpha1
kind: ExtensionServiceConfig
name: tailscale
environment:
- TS_AUTHKEY=tskey-auth-{SECRET}
- TS_ROUTES=10.244.0.0/16,10.96.0.0/16
- TS_AUTH_ONCE=true
"""
ROUTER = WORKER.replace(PUBLISHED, ROUTER_IMAGE).replace("  install:\n", SUBNETS + "  install:\n") + SERVICE

PLANS: dict[str, Plan] = {}


@pytest.fixture(autouse=True)
async def plans() -> None:
    for name in ("spin-only", "spin-tailscale"):
        if name not in PLANS:
            PLANS[name] = await plan_of(request(name, outputs=("installer",)))


def subject(name: str, talos: str = "v1.13.6") -> Subject:
    plan = PLANS[name].model_copy(update={"talos_version": talos})
    services = SERVICES if name == "spin-tailscale" else SERVICES[1:]
    return Subject(builtin(name), plan, services, ("spin-only", "spin-tailscale"))


def findings(text: str, name: str = "spin-only", talos: str = "v1.13.6") -> list[Finding]:
    found = check(read_configuration("a.yaml", text), subject(name, talos))
    assert SECRET not in "".join(finding.text for finding in found)
    return found


def problems(text: str, name: str = "spin-only", talos: str = "v1.13.6") -> list[str]:
    return [finding.text for finding in findings(text, name, talos) if finding.level is Level.PROBLEM]


def notes(text: str, name: str = "spin-only") -> list[str]:
    return [finding.text for finding in findings(text, name) if finding.level is Level.NOTE]


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


# What fits


def test_a_configuration_that_fits_has_no_finding() -> None:
    assert findings(WORKER) == []
    assert problems(ROUTER, "spin-tailscale") == []


def test_what_machine_config_writes_fits_in_both_forms() -> None:
    chosen = builtin("spin-tailscale")
    told = settings(chosen, Asked(routes=["10.244.0.0/16", "fd00::/64"]))
    node = NodeSettings(("192.168.1.0/24",))
    for talos in ("v1.13.6", "v1.14.0"):
        for name, text in make_machine_config(chosen, talos, told, node=node).files.items():
            if name.endswith("node.yaml"):
                assert problems(text, "spin-tailscale", talos) == [
                    "service tailscale: TS_AUTHKEY is still a placeholder"
                ]


# Modules


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    - name: spl\n", "", "kernel module spl is not loaded: zfs is built on it"),
        ("      parameters: [usermode_helper=disabled]\n", "",
         "kernel module drbd lacks the parameter usermode_helper=disabled"),
        ("    - name: openvswitch\n", "    - name: openvswitch\n    - name: drbd\n",
         "kernel module drbd lacks the parameter usermode_helper=disabled"),
    ],
)  # fmt: skip
def test_a_module_that_is_missing_or_loaded_otherwise_is_named(old: str, new: str, problem: str) -> None:
    assert problems(changed(WORKER, old, new)) == [problem]


def test_a_modules_line_is_given() -> None:
    (finding,) = findings(changed(WORKER, "      parameters: [usermode_helper=disabled]\n", ""))
    assert finding.line == WORKER.splitlines().index("    - name: drbd") + 1


def test_modules_as_documents_count_from_v1_14_on() -> None:
    document = "---\napiVersion: v1alpha1\nkind: KernelModuleConfig\nname: spl\n"
    text = changed(WORKER, "    - name: spl\n", "") + document
    assert problems(changed(text, "spin-only-v1.13.6", "spin-only-v1.14.0"), talos="v1.14.0") == []
    assert problems(text) == ["Talos v1.13.6 does not know documents of kind KernelModuleConfig, and refuses the whole"]


# Services


def test_a_node_whose_image_has_no_such_service_is_told_so() -> None:
    assert problems(WORKER + SERVICE) == [
        (
            "ExtensionServiceConfig tailscale: no extension of variant spin-only has such a service: the configuration "
            "is for another image"
        )
    ]


def test_a_service_without_its_document_is_named() -> None:
    assert problems(changed(ROUTER, SERVICE, ""), "spin-tailscale") == [
        (
            "there is no ExtensionServiceConfig document for service tailscale: the node waits for it, and does not "
            "finish its boot"
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (f"- TS_AUTHKEY=tskey-auth-{SECRET}\n", "", "TS_AUTHKEY is not set (auth key of the tailnet)"),
        (f"=tskey-auth-{SECRET}", "=<put TS_AUTHKEY here>", "TS_AUTHKEY is still a placeholder"),
        (f"=tskey-auth-{SECRET}", f"=tskey-api-{SECRET}", "TS_AUTHKEY: it begins with tskey-api-: that is a token for"),
        (f"=tskey-auth-{SECRET}", f"=tskey-client-{SECRET}", "TS_AUTHKEY: it is the secret of an OAuth client"),
        ("10.244.0.0/16,", "10.244.0.0,", "TS_ROUTES: bad network: 10.244.0.0 has no prefix length"),
        ("10.244.0.0/16,", f"{SECRET},", "TS_ROUTES is not a list of networks"),
        ("10.244.0.0/16,", f"tskey-auth-{SECRET},", "there is a key in TS_ROUTES: TS_AUTHKEY is for it"),
        ("- TS_ROUTES=10.244.0.0/16,10.96.0.0/16\n", "", "TS_ROUTES is not set: the node routes nothing"),
        ("- TS_AUTH_ONCE", "- TS_ROUTES=10.0.0.0/8\n- TS_AUTH_ONCE", "TS_ROUTES is set more than once"),
        ("- TS_AUTH_ONCE", f"- TS_EXTRA_ARGS=--hostname={SECRET}\n- TS_AUTH_ONCE",
         "TS_EXTRA_ARGS: --hostname sets what TS_HOSTNAME sets"),
        ("- TS_AUTH_ONCE", f"- TS_EXTRA_ARGS=--auth-key=tskey-auth-{SECRET}\n- TS_AUTH_ONCE",
         "there is a key in TS_EXTRA_ARGS: TS_AUTHKEY is for it"),
    ],
)  # fmt: skip
def test_a_variable_that_is_wrong_is_named_and_its_value_not_shown(old: str, new: str, problem: str) -> None:
    (found,) = problems(changed(ROUTER, old, new), "spin-tailscale")
    assert found.startswith(f"service tailscale: {problem}")


def test_ipv6_routes_need_forwarding() -> None:
    routed = changed(ROUTER, "10.96.0.0/16", "fd00::/64")
    assert problems(routed, "spin-tailscale") == [
        'a route is IPv6, and no sysctl sets net.ipv6.conf.all.forwarding to "1": the service does not start'
    ]
    for name in ("net.ipv6.conf.all.forwarding", "net/ipv6/conf/all/forwarding"):
        sysctls = f'  sysctls: {{{name}: "1"}}\n'
        assert problems(changed(routed, "  install:\n", sysctls + "  install:\n"), "spin-tailscale") == []


def test_a_variable_that_is_not_the_variants_is_a_note() -> None:
    assert "service tailscale: TS_AUTH_ONCE is not set (logs in once and" in " ".join(
        notes(changed(ROUTER, "- TS_AUTH_ONCE=true\n", ""), "spin-tailscale")
    )


# The installer


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("ghcr.io/siderolabs/installer:v1.13.6",
         "machine.install.image: ghcr.io/siderolabs/installer:v1.13.6 is Talos's own"),
        (ROUTER_IMAGE, f"machine.install.image: {ROUTER_IMAGE} is the installer of spin-tailscale, and these patches"),
        ("talos", "machine.install.image is not an image reference with registry and tag or digest"),
        (f"https://user:{SECRET}@example.com/x:1", "machine.install.image is not an image reference"),
    ],
)  # fmt: skip
def test_another_installer_is_named(image: str, problem: str) -> None:
    (found,) = problems(changed(WORKER, PUBLISHED, image))
    assert found.startswith(problem)


def test_no_installer_is_a_problem_of_a_whole_configuration() -> None:
    text = changed(WORKER, f"    image: {PUBLISHED}\n", "")
    assert problems(text) == ["no installer is named: a new node would not install this variant's image"]


def test_an_installer_as_a_document_is_read_and_does_not_stand_next_to_the_field() -> None:
    document = (
        "---\napiVersion: v1alpha1\nkind: UnattendedInstallConfig\n"
        "installer: {image: 'ghcr.io/siderolabs/installer:v1.14.0'}\n"
    )
    first, second, *_ = problems(WORKER + document, talos="v1.14.0")
    assert first == "Talos refuses machine.install next to a document UnattendedInstallConfig"
    assert second.startswith(f"machine.install.image: {PUBLISHED} is for Talos v1.13.6")
    assert any("UnattendedInstallConfig, installer.image: ghcr.io/siderolabs/installer" in one for one in problems(
        WORKER + document, talos="v1.14.0"
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "field", "text"),
    [
        ("KubeNodeConfig", "machine.kubelet.nodeIP", "machine:\n  kubelet: {nodeIP: {validSubnets: [10.0.0.0/8]}}\n"),
        ("KubeNodeConfig", "machine.nodeLabels", "machine:\n  nodeLabels: {a: b}\n"),
        ("KubeNodeConfig", "machine.nodeTaints", "machine:\n  nodeTaints: {a: b}\n"),
        ("KubeletConfig", "machine.kubelet", "machine:\n  kubelet: {image: x}\n"),
    ],
)
def test_a_field_that_a_document_excludes_is_named(kind: str, field: str, text: str) -> None:
    found = problems(f"{text}---\napiVersion: v1alpha1\nkind: {kind}\n", talos="v1.14.0")
    assert f"Talos refuses {field} next to a document {kind}" in found


# Addresses


def test_without_subnets_a_router_may_take_the_tailnets_address() -> None:
    assert [one.split(" is ")[0] for one in problems(changed(ROUTER, SUBNETS, ""), "spin-tailscale")] == [
        "machine.kubelet.nodeIP.validSubnets (or nodeIP of KubeNodeConfig)"
    ]
    inside = problems(changed(ROUTER, "[192.168.1.0/24]", "[192.168.1.0/24, 100.64.3.0/24]"), "spin-tailscale")
    assert inside == [
        (
            "machine.kubelet.nodeIP.validSubnets (or nodeIP of KubeNodeConfig): 100.64.3.0/24 overlaps the range from "
            "which Tailscale gives addresses"
        )
    ]


@pytest.mark.parametrize(
    ("subnets", "fits"),
    [
        ("[0.0.0.0/0, '!100.64.0.0/10']", True),
        ("[0.0.0.0/0]", False),
        ("['!100.64.0.0/10']", False),
        ("[192.168.1]", False),
    ],
)
def test_the_tailnets_addresses_may_be_excluded(subnets: str, fits: bool) -> None:
    found = problems(changed(ROUTER, "[192.168.1.0/24]", subnets), "spin-tailscale")
    assert [one.split(" (or ")[0] for one in found] == ([] if fits else ["machine.kubelet.nodeIP.validSubnets"])


def test_a_control_plane_needs_etcds_networks_as_well() -> None:
    text = changed(ROUTER, "type: worker", "type: controlplane")
    assert [one.split(" is ")[0] for one in problems(text, "spin-tailscale")] == ["cluster.etcd.advertisedSubnets"]
    etcd = changed(text, "cluster:\n", "cluster:\n  etcd: {advertisedSubnets: [192.168.1.0/24]}\n")
    assert problems(etcd, "spin-tailscale") == []


# RuntimeClass

CLASS = "kind: RuntimeClass, metadata: {{name: wasmtime-spin-v2}}, handler: {}"
INLINE = "cluster:\n  inlineManifests:\n  - name: spin\n    contents: |\n      {{" + CLASS + "}}\n"


def test_a_runtime_class_is_looked_for_on_control_planes() -> None:
    control = changed(WORKER, "type: worker", "type: controlplane")
    (note,) = notes(control)
    assert note.startswith("RuntimeClass wasmtime-spin-v2 is not among the manifests")
    assert findings(changed(control, "cluster:\n", INLINE.format("spin"))) == []
    assert problems(changed(control, "cluster:\n", INLINE.format("runc"))) == [
        "RuntimeClass wasmtime-spin-v2 has another handler than spin"
    ]
    (note,) = notes(changed(WORKER, "cluster:\n", INLINE.format("spin")))
    assert note.startswith("RuntimeClass wasmtime-spin-v2 is among a worker's manifests")


def test_a_manifest_that_is_there_twice_is_named() -> None:
    twice = "cluster:\n  inlineManifests:\n  - {name: spin, contents: ''}\n  - {name: spin, contents: ''}\n"
    assert problems(changed(WORKER, "cluster:\n", twice)) == [
        "inline manifest spin is there twice: Talos refuses the configuration"
    ]


# talm

MODELINE = '# talm: nodes=["10.0.0.5"], endpoints=["10.0.0.5"], templates=["templates/controlplane.yaml"]\n'


def test_a_node_file_of_talm_is_read_as_what_is_merged_over_its_templates() -> None:
    found = read_configuration("nodes/a.yaml", MODELINE + SERVICE)
    assert (found.is_talm, found.is_partial, found.machine_type) == (True, True, "controlplane")
    result = check(found, subject("spin-tailscale"))
    assert [finding for finding in result if finding.level is Level.PROBLEM] == []
    told = " ".join(finding.text for finding in result)
    for part in (
        "zfs is not in this file; talm's preset",
        "installs image of values.yaml",
        "talm takes it from values.yaml",
    ):
        assert part in told


def test_a_whole_node_file_of_talm_is_read_as_it_is() -> None:
    found = read_configuration("nodes/a.yaml", MODELINE + WORKER)
    assert (found.is_talm, found.is_partial, found.machine_type) == (True, False, "worker")
    assert check(found, subject("spin-only")) == []


# What is printed


def test_the_page_shows_what_is_printed() -> None:
    text = changed(WORKER, PUBLISHED, "ghcr.io/siderolabs/installer:v1.13.6").replace("    - name: spl\n", "")
    found = read_configuration("worker.yaml", text)
    page = (Path(__file__).parents[3] / "docs/machine-config.md").read_text()
    assert render([(found, check(found, subject("spin-only")))], subject("spin-only")) in page


def test_findings_are_printed_by_file_and_the_clusters_view_at_the_end() -> None:
    named = changed(ROUTER, "- TS_AUTH_ONCE", "- TS_HOSTNAME=router\n- TS_AUTH_ONCE")
    files = [read_configuration(name, named) for name in ("a.yaml", "b.yaml")]
    files.append(read_configuration("c.yaml", changed(WORKER, "    - name: spl\n", "") + SERVICE))
    text = render([(found, check(found, subject("spin-tailscale"))) for found in files], subject("spin-tailscale"))
    assert SECRET not in text
    lines = text.splitlines()
    assert lines[0] == "a.yaml (worker):"
    assert "  ok       it has what a node of variant spin-tailscale needs" in lines
    assert "  problem  kernel module spl is not loaded: zfs is built on it" in lines
    assert lines[-1] == (
        "  note     a.yaml, b.yaml give the same name in the tailnet (TS_HOSTNAME); Tailscale renames the later one"
    )
