"""What is deployed to Kubernetes: objects that its schemas take, values that the chart knows, one engine for all."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import pytest
import yaml

from ci.upkeep.description import DESCRIPTION, parse_description

TOP = Path(__file__).parents[2]
DESCRIBED = parse_description(DESCRIPTION.read_text())
VALUES: dict[str, Any] = yaml.safe_load((TOP / "deploy/dagger/values.yaml").read_text())
#: What goes on top of them where there are mirrors.
MIRRORS: dict[str, Any] = yaml.safe_load((TOP / "deploy/dagger/mirrors.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    document
    for name in ("deploy/dagger/job.yaml", "deploy/buildkit/buildkit.yaml")
    for document in yaml.safe_load_all((TOP / name).read_text())
]
BY_KIND = {one["kind"]: one for one in OBJECTS}

#: The keys of the chart dagger-helm 0.21.8, as its templates use them; `None`: whatever Kubernetes takes there.
CHART: dict[str, Any] = {
    "nameOverride": None,
    "fullnameOverride": None,
    "engine": {
        **dict.fromkeys(
            ["config", "configJson", "annotations", "labels", "kind", "port", "hostPort", "containerPorts", "args",
             "env", "imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName",
             "runtimeClassName",
             "shareProcessNamespace", "readinessProbeSettings", "livenessProbeSettings",
             "terminationGracePeriodSeconds", "lifecycle", "volumes", "volumeMounts", "sidecars"]
        ),
        "statefulSet": {"persistentVolumeClaimRetentionPolicy": None, "persistentVolumeClaim": None,
                        "podManagementPolicy": None},
        "resources": {"limits": None, "requests": None},
        "image": {"ref": None, "pullPolicy": None},
        "newServiceAccount": {"create": None, "annotations": None},
        "existingServiceAccount": {"name": None},
        "hostPath": {"dataVolume": {"enabled": None}, "runVolume": {"enabled": None}},
    },
    "magicache": {"enabled": None, "url": None, "token": None, "secretName": None},
    "service": {"type": None, "annotations": None, "labels": None},
}  # fmt: skip

#: The keys of the engine's configuration, version 0.21.8.
ENGINE_KEYS = {"logLevel", "gc", "security", "registries"}
GC_KEYS = {"enabled", "reservedSpace", "maxUsedSpace", "minFreeSpace", "sweepSize", "policies"}
REGISTRY_KEYS = {"mirrors", "http", "insecure", "ca", "keypair"}


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("document", OBJECTS, ids=[one["kind"] for one in OBJECTS])
def test_an_object_is_what_kubernetes_takes(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_see_a_mistake() -> None:
    broken = json.loads(json.dumps(BY_KIND["StatefulSet"]).replace('"volumeMounts"', '"volumeMount"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def unknown(given: Any, known: Any, place: str = "") -> list[str]:
    """Keys of the values that the chart does not have."""
    if known is None or not isinstance(given, dict):
        return []
    found = cast("dict[str, Any]", given)
    return [
        *(f"{place}.{key}" for key in found if key not in known),
        *(line for key in found if key in known for line in unknown(found[key], known[key], f"{place}.{key}")),
    ]


def test_the_chart_knows_all_values() -> None:
    assert unknown(VALUES, CHART) == []
    assert unknown(MIRRORS, CHART) == []
    assert unknown({"engine": {"resource": {}, "image": {"tag": "x"}}}, CHART) == [
        ".engine.resource", ".engine.image.tag"
    ]  # fmt: skip


def test_the_pods_of_the_values_are_what_kubernetes_takes() -> None:
    """What the chart makes of them: a DaemonSet with these parts."""
    engine = VALUES["engine"] | MIRRORS["engine"]
    pod = {
        "nodeSelector": engine["nodeSelector"],
        "tolerations": engine["tolerations"],
        "containers": [
            {"name": "engine", "image": engine["image"]["ref"], "resources": engine["resources"],
             "volumeMounts": engine["volumeMounts"]}
        ],
        "volumes": engine["volumes"],
    }  # fmt: skip
    labels = {"a": "b"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    document = {"apiVersion": "apps/v1", "kind": engine["kind"], "metadata": {"name": "engine"}, "spec": spec}
    kubernetes_validate.validate(document, "1.37", strict=True)


@pytest.mark.parametrize("values", [VALUES, MIRRORS])
def test_the_engines_configuration_is_one(values: dict[str, Any]) -> None:
    config = json.loads(values["engine"]["configJson"])
    assert set(config) <= ENGINE_KEYS
    assert set(config["gc"]) <= GC_KEYS
    assert all(re.fullmatch(r"\d+(GB|%)", size) for size in config["gc"].values())
    assert all(set(registry) <= REGISTRY_KEYS for registry in config.get("registries", {}).values())


def test_mirrors_change_nothing_else() -> None:
    plain, mirrored = (json.loads(values["engine"]["configJson"]) for values in (VALUES, MIRRORS))
    assert {key: value for key, value in mirrored.items() if key != "registries"} == plain
    own, copied = VALUES["engine"]["image"]["ref"], MIRRORS["engine"]["image"]["ref"]
    assert copied == f"registry.example.com/{own}"  # as docs/kubernetes.md names copies


def buildkit() -> dict[str, Any]:
    """The configuration with the lines that are commented out."""
    return tomllib.loads(re.sub(r"^#(?=\[|  )", "", BY_KIND["ConfigMap"]["data"]["buildkitd.toml"], flags=re.MULTILINE))


def test_buildkits_configuration_is_one() -> None:
    assert "registry" not in tomllib.loads(BY_KIND["ConfigMap"]["data"]["buildkitd.toml"])
    config = buildkit()
    assert config["insecure-entitlements"] == ["security.insecure"]
    assert all(set(registry) <= {"mirrors", "http", "insecure", "ca"} for registry in config["registry"].values())


def test_all_use_the_same_engine_on_the_same_nodes() -> None:
    engine = VALUES["engine"]
    folder = f"/run/dagger-{VALUES['fullnameOverride']}"  # as the chart names it
    assert (engine["image"]["ref"], folder) == (DESCRIBED.dagger.engine, DESCRIBED.nodes.engine_folder)
    assert engine["nodeSelector"] == {DESCRIBED.nodes.label: "true"}
    pod = BY_KIND["Job"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == engine["nodeSelector"]
    assert pod["tolerations"] == engine["tolerations"]
    assert [one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one] == [folder]
    assert pod["containers"][0]["image"] == DESCRIBED.dagger.engine
    page = (TOP / "docs/kubernetes.md").read_text()
    assert f"hostPath: {{path: {folder}, type: Directory}}" in page
    assert f'nodeSelector: {{{DESCRIBED.nodes.label}: "true"}}' in page


def test_certificates_are_where_the_configuration_says() -> None:
    mount = MIRRORS["engine"]["volumeMounts"][0]["mountPath"]
    for registry in json.loads(MIRRORS["engine"]["configJson"])["registries"].values():
        assert all(path.startswith(f"{mount}/") for path in registry.get("ca", []))
    (container,) = BY_KIND["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    config = buildkit()
    assert config["registry"]["registry.example.com"]["ca"] == [f"{mounts['certificates']}/ca.crt"]
    assert f"--config={mounts['config']}/buildkitd.toml" in container["args"]


def test_buildkits_port_is_for_its_own_namespace() -> None:
    (rule,) = BY_KIND["NetworkPolicy"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}]
    assert BY_KIND["Service"]["spec"].get("type", "ClusterIP") == "ClusterIP"
    labels = BY_KIND["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert BY_KIND["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert BY_KIND["Service"]["spec"]["selector"] == labels
