"""References as charts write them."""

from __future__ import annotations

import pytest

from ci.workloads.names import anywhere, is_image_key, put_together, whole
from tests.unit.workloads.charts import DIGEST


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("redis:7", "docker.io/library/redis:7"),
        ("percona/pmm-client:2.44.1", "docker.io/percona/pmm-client:2.44.1"),
        ("docker.io/redis:7", "docker.io/library/redis:7"),
        ("index.docker.io/library/redis:7", "docker.io/library/redis:7"),
        ("quay.io/a/b:v1", "quay.io/a/b:v1"),
        ("quay.io/a/b", "quay.io/a/b:latest"),
        (f"ghcr.io/a/b:v1@{DIGEST}", f"ghcr.io/a/b:v1@{DIGEST}"),
        (f"ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
        ("docker://quay.io/kubevirt/fedora:40", "quay.io/kubevirt/fedora:40"),
        ("registry.local:5000/a/b:1", "registry.local:5000/a/b:1"),
        ("cr.fluentbit.io/fluent/fluent-bit:3", "cr.fluentbit.io/fluent/fluent-bit:3"),
    ],
)
def test_a_whole_reference_has_its_registry(text: str, reference: str) -> None:
    assert whole(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        *("", "redis", "gpu-operator", "Redis:7", "a b:1", "https://ghcr.io/a/b:1", "oci://ghcr.io/a/b:1", "host:8080"),
        *("github.com/a/b:v1", "example.com/a/b:1", "{{ .Values.image }}", "ghcr.io/a/b:v1@sha256:abc", "true"),
    ],
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert whole(text) is None


@pytest.mark.parametrize(
    ("line", "references"),
    [
        ("- --image=quay.io/a/b:1,ghcr.io/c/d:2", ["quay.io/a/b:1", "ghcr.io/c/d:2"]),
        ('{"image": "quay.io/a/b:1"}', ["quay.io/a/b:1"]),
        (f"use ghcr.io/a/b@{DIGEST}.", [f"ghcr.io/a/b@{DIGEST}"]),
        ("docker://quay.io/a/b:1", ["quay.io/a/b:1"]),
        ("see https://quay.io/a/b:1 and oci://ghcr.io/a/b:1", []),
        ("controller-gen.kubebuilder.io/version: v0.16", []),
        ("redis:7 and a/b:1", []),
        ("github.com/a/b:v1", []),
    ],
)
def test_in_a_line_only_what_names_its_registry_is_an_image(line: str, references: list[str]) -> None:
    assert anywhere(line) == references


@pytest.mark.parametrize(
    ("parts", "reference"),
    [
        (("quay.io", "a/b", "1", ""), "quay.io/a/b:1"),
        (("", "a/b", "1", ""), "docker.io/a/b:1"),
        (("quay.io/", "a/b", "", "a" * 64), f"quay.io/a/b@{DIGEST}"),
        (("", "redis", "7", DIGEST), f"docker.io/library/redis:7@{DIGEST}"),
        (("", "NOT A NAME", "1", ""), None),
    ],
)
def test_parts_make_a_reference(parts: tuple[str, str, str, str], reference: str | None) -> None:
    assert put_together(*parts) == reference


@pytest.mark.parametrize(
    "key", ["image", "sidecarImage", "RELATED_IMAGE_MARIADB", "AGENT_IMAGE", "imageName", "fullImageName"]
)
def test_keys_that_name_images(key: str) -> None:
    assert is_image_key(key)


@pytest.mark.parametrize(
    "key", ["imagePullPolicy", "imagePullSecrets", "images", "useUnprivilegedImage", "name", "imageOverride"]
)
def test_keys_that_do_not(key: str) -> None:
    assert not is_image_key(key)
