"""Five packages of CozyStack, and a registry that has their images under their real names, one of each kind."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from tests.unit.workloads.charts import package, pods
from tests.unit.workloads.images import Images
from tests.unit.workloads.platform import source

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Package → its image, and what its registry has there.
KILO = "ghcr.io/cozystack/cozystack/kilo:v1.5.0"  # for both architectures, with an attestation
KUBEOVN = "ghcr.io/cozystack/cozystack/kubeovn:v1.15.10"  # an index without arm64
CILIUM = "quay.io/cilium/operator-generic:v1.19.5"  # labelled arm64, with a program for amd64
SHADOWBOX = "quay.io/outline/shadowbox:stable"  # one platform, which only its configuration says
REDIS = "docker.io/library/redis:8.4.0"  # asks for a login

_BUNDLE = """{{- if .Values.bundles.system.enabled }}
{{- if eq .Values.bundles.system.variant "isp-full" }}
{{include "cozystack.platform.package.default" (list "cozystack.networking" $) }}
{{- end }}
{{- end }}
"""
_DOCKERFILE = "FROM --platform=linux/amd64 ubuntu:24.04\nRUN GOARCH=amd64 go build\n"


def checkout() -> dict[str, str]:
    """Return the checkout's files."""
    return {
        **package("core/platform", {}),
        **package("system/kilo", {"templates/d.yaml": pods(KILO, kind="DaemonSet")}),
        **package(
            "system/kubeovn",
            {"templates/d.yaml": pods(KUBEOVN, kind="DaemonSet", name="ovs"), "images/kubeovn/Dockerfile": _DOCKERFILE},
        ),
        **package("system/cilium", {"templates/d.yaml": pods(CILIUM, name="cilium-operator")}),
        **package("apps/vpn", {"templates/d.yaml": pods(SHADOWBOX)}),
        **package("apps/redis", {"templates/r.yaml": f"kind: RedisFailover\nspec:\n  image: {REDIS}\n"}),
        **source("networking", "default:-> system/kilo, system/kubeovn, system/cilium"),
        **source("vpn-application", "default: networking -> apps/vpn"),
        **source("redis-application", "default: -> apps/redis"),
        "packages/core/platform/templates/bundles/system.yaml": _BUNDLE,
    }


def images() -> Images:
    """Return what the registries have, by their real names."""
    both = {"linux/amd64": "amd64", "linux/arm64": "arm64"}
    found = Images()
    found.index("ghcr.io/cozystack/cozystack/kilo", "v1.5.0", both, attested=True)
    found.index("ghcr.io/cozystack/cozystack/kubeovn", "v1.15.10", {"linux/amd64": "amd64"}, attested=True)
    found.index("quay.io/cilium/operator-generic", "v1.19.5", {"linux/amd64": "amd64", "linux/arm64": "amd64"})
    found.index("quay.io/cilium/operator-generic", "v1.20.0", both)
    found.single("quay.io/outline/shadowbox", "stable", "amd64")
    found.index("docker.io/library/ubuntu", "24.04", both)
    return found


class Answering:
    """The registries at one address, a folder for each: `/v2/quay.io/outline/shadowbox/…`."""

    def __init__(self, held: Images) -> None:
        self.held = held
        self.asked: list[str] = []
        #: Answers of 429 that are left.
        self.limited = 1

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and content for a path."""
        self.asked.append(path)
        if "/library/redis/" in path:
            return 401, {"WWW-Authenticate": 'Basic realm="here"'}, b""
        if self.limited and "/manifests/" in path:
            self.limited -= 1
            return 429, {"Retry-After": "0"}, b""
        match = re.fullmatch(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags)/(?P<rest>[^?]+)(?:\?.*)?", path)
        if match is None:
            return 404, {}, b""
        name, kind, rest = match["name"], match["kind"], match["rest"]
        if kind == "tags":
            tags = [tag for repository, tag in self.held.manifests if repository == name and ":" not in tag]
            return 200, {"Content-Type": "application/json"}, json.dumps({"tags": tags}).encode()
        content = self.held.blobs.get(rest) if kind == "blobs" else self.held.manifests.get((name, rest))
        if content is None:
            return 404, {}, b""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return 200, {"Docker-Content-Digest": digest, "Content-Type": "application/json"}, content
