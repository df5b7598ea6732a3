"""Machine configuration patches: those of the project's variants, whole, and what Talos's schema says of them.

The stored files of spin-tailscale were also loaded, applied and validated by Talos's own machinery (Go module
github.com/siderolabs/talos/pkg/machinery, v1.11.3 and v1.13.6), on workers and control plane nodes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ci.common.errors import UserError, VariantError
from ci.load.variant import parse_variant
from ci.node.installer import parse_installer
from ci.node.machine_config import make_machine_config, provided_paths
from ci.node.services import unmet
from ci.node.tailscale import Asked, Tailscale, settings
from tests.unit.catalogs import digest
from tests.unit.node.test_services import SERVICES
from tests.unit.planning import builtin, variant

DATA = Path(__file__).parents[1] / "data"
SCHEMA: dict[str, Any] = json.loads((DATA / "talos-config.json").read_text())
NAMES = ("spin-only", "spin-tailscale")
VARIANTS = ("spin", *NAMES)


def files(name: str, **asked: Any) -> dict[str, str]:
    chosen = builtin(name)
    return dict(make_machine_config(chosen, "v1.13.6", settings(chosen, Asked(**asked))).files)


def node(text: str, **asked: Any) -> list[Any]:
    """The documents in the patch of a variant that is given by its `configuration`."""
    chosen = variant(text)
    made = make_machine_config(chosen, "v1.13.6", settings(chosen, Asked(**asked)))
    return list(yaml.safe_load_all(made.files["node.yaml"]))


def tailscale_environment(**asked: Any) -> list[str]:
    _, document = yaml.safe_load_all(files("spin-tailscale", **asked)["node.yaml"])
    return document["environment"]


# What is written


@pytest.mark.parametrize("name", NAMES)
def test_a_variants_files_are_these(name: str) -> None:
    stored = {path.name: path.read_text() for path in (DATA / "machine-config" / name).iterdir()}
    assert files(name) == stored


def test_the_installer_that_a_node_is_to_install_is_named_or_missed() -> None:
    chosen, reference = builtin("spin-only"), f"registry.example.com/talos/talos:spin-only@{digest('a')}"
    made = make_machine_config(
        chosen, "v1.13.6", settings(chosen, Asked()), parse_installer(reference, "spin-only", VARIANTS)
    )
    document = next(yaml.safe_load_all(made.files["node.yaml"]))
    machine = document["machine"]
    assert document_errors(document) == []
    assert machine["install"] == {"image": reference}
    assert "--installer" not in made.files["node.yaml"]
    told = files("spin-only")["node.yaml"]
    assert "install" not in next(yaml.safe_load_all(told))["machine"]
    assert "machine.install.image names, not what it booted" in told


def test_the_kernel_modules_that_cozystack_and_its_extensions_need_are_loaded() -> None:
    for name in NAMES:
        machine = next(yaml.safe_load_all(files(name)["node.yaml"]))["machine"]
        assert machine["kernel"]["modules"] == [
            {"name": "zfs"},
            {"name": "spl"},
            {"name": "drbd", "parameters": ["usermode_helper=disabled"]},
            {"name": "openvswitch"},
        ]


def test_a_workers_patch_has_no_word_of_tailscale() -> None:
    assert [text for text in files("spin-only").values() if "tailscale" in text.lower()] == []


def test_the_runtime_class_is_a_cluster_object_and_in_no_nodes_patch() -> None:
    found = files("spin-only")
    wanted = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "wasmtime-spin-v2"},
        "handler": "spin",
    }
    assert yaml.safe_load(found["kubernetes.yaml"]) == wanted
    (inline,) = yaml.safe_load(found["controlplane.yaml"])["cluster"]["inlineManifests"]
    assert (inline["name"], yaml.safe_load(inline["contents"])) == ("runtime-class-wasmtime-spin-v2", wanted)
    assert "RuntimeClass" not in found["node.yaml"]


def test_tailscale_is_told_cozystacks_networks_and_shows_where_the_key_belongs() -> None:
    assert tailscale_environment() == [
        "TS_AUTHKEY=<put TS_AUTHKEY here>",
        "TS_ROUTES=10.244.0.0/16,10.96.0.0/16",
        "TS_AUTH_ONCE=true",
    ]


def test_tailscale_is_told_what_is_asked() -> None:
    asked = {"routes": ["10.1.0.0/16, 10.2.0.0/16", "fd00::/64"], "hostname": "router", "arguments": "--accept-routes"}
    assert tailscale_environment(**asked) == [
        "TS_AUTHKEY=<put TS_AUTHKEY here>",
        "TS_ROUTES=10.1.0.0/16,10.2.0.0/16,fd00::/64",
        "TS_HOSTNAME=router",
        "TS_EXTRA_ARGS=--accept-routes",
        "TS_AUTH_ONCE=true",
    ]


SERVICE = "configuration:\n  extensionServices:\n    - name: {name}\n      reason: r\n      {rest}\n"
FILE = 'configFiles: [{mountPath: /usr/local/etc/bird.conf, content: "router id 1;\\n"}]'


def test_another_service_gets_its_values_files_and_placeholders() -> None:
    environment = (
        "environment: [{name: A, description: a, value: '1'}, {name: B, description: b, required: true}, "
        "{name: C, description: c}]"
    )
    assert node(SERVICE.format(name="bird2", rest=f"{FILE}\n      {environment}")) == [
        {"machine": {}},
        {
            "apiVersion": "v1alpha1",
            "kind": "ExtensionServiceConfig",
            "name": "bird2",
            "configFiles": [{"content": "router id 1;\n", "mountPath": "/usr/local/etc/bird.conf"}],
            "environment": ["A=1", "B=<put B here>"],
        },
    ]


def test_settings_reach_tailscale_alone() -> None:
    rest = "environment: [{name: TS_ROUTES, description: d, value: x}]"
    text = SERVICE.format(name="other", rest=rest) + "    - {name: tailscale, reason: r}\n"
    _, other, tailscale = node(text, routes=["10.0.0.0/8"])
    assert other["environment"] == ["TS_ROUTES=x"]
    assert tailscale["environment"] == ["TS_ROUTES=10.0.0.0/8"]


def test_a_variant_that_routes_nothing_is_left_so() -> None:
    """Tailscale on a node need not be a subnet router."""
    text = SERVICE.format(name="tailscale", rest="environment: [{name: TS_AUTHKEY, description: d, required: true}]")
    assert node(text)[1]["environment"] == ["TS_AUTHKEY=<put TS_AUTHKEY here>"]


def test_a_variants_own_routes_stay_unless_others_are_asked() -> None:
    rest = "environment: [{name: TS_ROUTES, description: d, value: 10.9.0.0/16}]"
    text = SERVICE.format(name="tailscale", rest=rest)
    assert node(text)[1]["environment"] == ["TS_ROUTES=10.9.0.0/16"]
    assert node(text, routes=["10.0.0.0/8"])[1]["environment"] == ["TS_ROUTES=10.0.0.0/8"]


def test_a_service_that_would_be_told_nothing_is_refused() -> None:
    """Talos refuses such a document (types/runtime/extensions, `Validate`)."""
    text = SERVICE.format(name="lldpd", rest="environment: [{name: A, description: a}]")
    with pytest.raises(UserError, match=r"^service lldpd: its ExtensionServiceConfig document would have "):
        node(text)


# What Talos's schema says


def schema_errors(value: Any, kind: Any, place: str = "") -> list[str]:
    """What is wrong with a value by the facts of the schema: each field's type, and no field beside them."""
    if kind == "string":
        return [] if isinstance(value, str) else [f"{place}: {value!r} is no string"]
    if isinstance(kind, list):
        return [] if value in kind else [f"{place}: {value!r} is none of {kind}"]
    if isinstance(kind, dict) and "mapOf" in kind:
        found = cast("dict[str, Any]", value)
        return [error for name in found for error in schema_errors(found[name], kind["mapOf"], f"{place}.{name}")]
    if isinstance(kind, dict):
        if not isinstance(value, list):
            return [f"{place}: {value!r} is no list"]
        items = cast("list[Any]", value)
        return [error for item in items for error in schema_errors(item, kind["listOf"], f"{place}[]")]
    if not isinstance(value, dict):
        return [f"{place}: {value!r} is no mapping"]
    fields, found = SCHEMA[kind]["fields"], cast("dict[str, Any]", value)
    errors = [f"{place}: unknown field {name}" for name in found if name not in fields]
    errors += [f"{place}: {name} is missing" for name in SCHEMA[kind]["required"] if name not in found]
    for name in found:
        errors += schema_errors(found[name], fields.get(name, "string"), f"{place}.{name}")
    return errors


def document_errors(document: dict[str, Any]) -> list[str]:
    kind = document.get("kind")
    known = [name for name in SCHEMA if SCHEMA[name]["fields"].get("kind") == [kind]]
    if kind is not None and not known:
        return [f"unknown kind {kind}"]
    return schema_errors(document, known[0] if known else "v1alpha1.Config")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["node.yaml", "controlplane.yaml"])
def test_the_patches_are_of_taloss_schema(name: str, file: str) -> None:
    documents = list(yaml.safe_load_all(files(name)[file]))
    assert documents
    assert [error for document in documents for error in document_errors(document)] == []


def test_files_of_a_service_are_of_taloss_schema() -> None:
    documents = node(SERVICE.format(name="bird2", rest=FILE))
    assert [error for document in documents for error in document_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {"machine": {"kernel": {"module": []}}},
        {"machine": {"kernel": {"modules": [{"name": 1}]}}},
        {"machine": {"install": {"images": "ghcr.io/me/talos:v1"}}},
        {"apiVersion": "v1", "kind": "ExtensionServiceConfig", "name": "x"},
        {"apiVersion": "v1alpha1", "kind": "ExtensionServiceConfig"},
        {"apiVersion": "v1alpha1", "kind": "ExtensionServiceConfig", "name": "x", "environment": {"A": "b"}},
    ],
)
def test_the_schemas_facts_can_refuse(document: dict[str, Any]) -> None:
    assert document_errors(document) != []


# What the image waits for


@pytest.mark.parametrize("name", NAMES)
def test_the_projects_variants_meet_what_their_services_wait_for(name: str) -> None:
    configuration = builtin(name).spec.configuration
    services = SERVICES if name == "spin-tailscale" else SERVICES[1:]
    configured = [service.name for service in configuration.extension_services]
    assert list(unmet(services, provided_paths(configuration), configured)) == []


def test_a_path_that_the_machine_itself_has_counts() -> None:
    text = "configuration:\n  paths: [{path: /dev/virtio-ports/agent.0, reason: the hypervisor has it}]\n"
    assert provided_paths(variant(text).spec.configuration) == ("/dev/virtio-ports/agent.0",)


# What is asked wrongly, and what is warned of


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"routes": ["10.0.0.5/24"]},
         "--routes: bad network: 10.0.0.5/24 has host bits set; write it as 10.0.0.0/24"),
        ({"routes": ["10.244.0.0/16,nowhere"]},
         "--routes: bad network: 'nowhere' does not appear to be an IPv4 or IPv6 network; write it as 10.244.0.0/16"),
        ({"routes": [","]}, "--routes: no network is given: leave it out for 10.244.0.0/16,10.96.0.0/16"),
        ({"join_cidr": ""},
         "--join-cidr: bad network: '' does not appear to be an IPv4 or IPv6 network; write it as 10.244.0.0/16"),
        ({"hostname": "a.example.org"},
         "bad host name 'a.example.org': a-z, 0-9 and - between them, at most 63, without a domain"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        settings(builtin("spin-tailscale"), Asked(**asked))
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "reference",
    [
        "registry.example.com/talos/talos:spin-only-v1.13.6-v1.6.2",
        f"127.0.0.1:5000/talos@{digest('a')}",
        f"ghcr.io/me/talos:stable@{digest('a')}",
    ],
)
def test_an_installer_is_named_by_tag_or_digest(reference: str) -> None:
    assert str(parse_installer(reference, "spin-only", VARIANTS)) == reference


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad image reference ''"),
        ("talos:v1.13.6", "bad image reference 'talos:v1.13.6'"),
        ("ghcr.io/me/talos", "bad image reference 'ghcr.io/me/talos': it has neither tag nor digest"),
        ("ghcr.io/me/talos@sha256:1", "ghcr.io/me/talos: bad digest 'sha256:1'"),
    ],
)
def test_an_installer_that_is_no_reference_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_installer(text, "spin-only", VARIANTS)
    assert str(raised.value).startswith(f"--installer: {reason}")
    assert str(raised.value).endswith("; give the reference that publish prints")


@pytest.mark.parametrize(
    ("tag", "variant", "named"),
    [
        ("spin-tailscale-v1.13.6-v1.6.2", "spin-only", "spin-tailscale"),
        ("spin-only-stable", "spin-tailscale", "spin-only"),
        ("spin-tailscale-stable", "spin", "spin-tailscale"),
        ("spin-stable", "spin-tailscale", "spin"),
        ("spin-tailscale", "spin", "spin-tailscale"),
    ],
)
def test_another_variants_installer_is_refused(tag: str, variant: str, named: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_installer(f"ghcr.io/me/talos:{tag}", variant, VARIANTS)
    assert str(raised.value).startswith(
        f"--installer: ghcr.io/me/talos:{tag} is the installer of {named}, and these patches are for nodes of {variant}"
    )
    assert f"`publish --variant {variant}`" in str(raised.value)


@pytest.mark.parametrize(
    "tag", ["spin-v1.13.6-local", "spin", "spin-stable", "spin-tailscaled", "v1.13.6", "mine-spin-only-1"]
)
def test_a_tag_that_names_no_other_variant_is_taken(tag: str) -> None:
    assert parse_installer(f"ghcr.io/me/talos:{tag}", "spin", VARIANTS)


def test_no_installer_is_none() -> None:
    assert parse_installer(None, "spin-only", VARIANTS) is None


def test_a_setting_for_a_node_without_tailscale_is_refused() -> None:
    """An auth key in a worker's file would be there for nothing."""
    with pytest.raises(UserError) as raised:
        settings(builtin("spin-only"), Asked(has_auth_key=True, join_cidr="10.0.0.0/16"))
    assert str(raised.value) == (
        "variant 'spin-only' has no service tailscale: leave out --tailscale-auth-key, --join-cidr"
    )


# The variant file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kernelModules: [{name: zfs, provides: [dev/zfs], reason: r}]",
         "configuration.kernelModules[0].provides[0]: bad path 'dev/zfs': write it from / on, without a / at its end"),
        ("paths: [{path: /dev/x/, reason: r}]",
         "configuration.paths[0].path: bad path '/dev/x/': write it from / on, without a / at its end"),
        ("extensionServices: [{name: x, reason: r, environment: [{name: A, description: d, secret: true, value: v}]}]",
         ("configuration.extensionServices[0].environment[0]: A is secret, so a variant file can't hold its value: "
          "leave value out")),
        ("extensionServices: [{name: x, reason: r, environment: [{name: A, description: d, value: true}]}]",
         ("configuration.extensionServices[0].environment[0].value: true is a truth value in YAML: put it in quotes")),
    ],
)  # fmt: skip
def test_a_wrong_word_in_a_variants_configuration_is_refused(text: str, message: str) -> None:
    with pytest.raises(VariantError) as raised:
        parse_variant("mine.yaml", f"description: d\nrole: r\nconfiguration:\n  {text}\n")
    assert str(raised.value) == f"mine.yaml:4: {message}"


def test_what_the_tests_compare_with_is_what_the_default_is() -> None:
    assert settings(builtin("spin-tailscale"), Asked()) == Tailscale(routes=("10.244.0.0/16", "10.96.0.0/16"))
