"""CozyStack's bundles and package sources, in the forms of v0.38 and of v1."""

from __future__ import annotations

from tests.unit.workloads.charts import package, pods

KUBEOVN = "ghcr.io/cozystack/cozystack/kubeovn:v1"

SYSTEM = """{{- if .Values.bundles.system.enabled }}
{{- /* include "cozystack.platform.package.default" (list "cozystack.comment" $) */ -}}
{{- if eq .Values.bundles.system.variant "isp-full" }}
{{include "cozystack.platform.package" (list "cozystack.networking" "kubeovn" $ $components) }}
{{include "cozystack.platform.system.common-packages" $ }}
{{- end }}
{{- if eq .Values.bundles.system.variant "isp-hosted" }}
{{include "cozystack.platform.package" (list "cozystack.networking" "noop" $) }}
{{- end }}
{{- if .Values.oidc }}
{{include "cozystack.platform.package.default" (list "cozystack.keycloak" $) }}
{{- end }}
{{include "cozystack.platform.package.optional.default" (list "cozystack.gpu" $) }}
{{- end }}
"""
PAAS = """{{- if and .Values.bundles.paas.enabled (eq .Values.bundles.system.variant "isp-full") }}
{{include "cozystack.platform.package.default" (list "cozystack.redis-application" $) }}
{{- end }}
"""
HELPERS = """{{- define "cozystack.platform.package" -}}
name: {{ index . 0 }}
{{- end }}
{{- define "cozystack.platform.system.common-packages" -}}
{{include "cozystack.platform.package.default" (list "cozystack.metallb" $root) }}
{{- end }}
"""


def source(name: str, *variants: str) -> dict[str, str]:
    """Return a package source's file; a variant is `name: needs -> packages`, separated by commas."""
    lines = ["apiVersion: cozystack.io/v1alpha1", "kind: PackageSource", "metadata:", f"  name: cozystack.{name}"]
    lines += ["spec:", "  variants:"]
    for variant in variants:
        title, _, rest = variant.partition(":")
        needs, _, packages = rest.partition("->")
        lines.append(f"  - name: {title}")
        lines.append(
            f"    dependsOn: [{', '.join(f'cozystack.{need.strip()}' for need in needs.split(',') if need.strip())}]"
        )
        lines.append("    components:")
        lines += [f"    - {{name: it, path: {path.strip()}}}" for path in packages.split(",") if path.strip()]
    return {f"packages/core/platform/sources/{name}.yaml": "\n".join(lines) + "\n"}


def v1() -> dict[str, str]:
    """Return a checkout of v1: an application that needs an operator and networking."""
    bundles = "packages/core/platform/templates/bundles"
    return {
        **package("core/platform", {}),
        **package(
            "system/kubeovn", {"templates/d.yaml": pods("ghcr.io/cozystack/cozystack/kubeovn:v1", kind="DaemonSet")}
        ),
        **package("system/metallb", {"templates/d.yaml": pods("quay.io/metallb/speaker:v1")}),
        **package("system/redis-operator", {"templates/d.yaml": pods("quay.io/r/operator:v1")}),
        **package("system/keycloak", {"templates/d.yaml": pods("quay.io/keycloak/keycloak:26")}),
        **package("system/gpu", {"templates/d.yaml": pods("nvcr.io/nvidia/gpu:1")}),
        **package("apps/redis", {"templates/r.yaml": "kind: RedisFailover\nspec:\n  image: redis:8\n"}),
        **source("networking", "noop:->", "kubeovn:-> system/kubeovn"),
        **source("metallb", "default: networking -> system/metallb"),
        **source("redis-operator", "default: networking -> system/redis-operator"),
        **source("keycloak", "default:-> system/keycloak"),
        **source("gpu", "default:-> system/gpu"),
        **source("redis-application", "default: networking, redis-operator -> apps/redis"),
        "packages/core/platform/templates/_helpers.tpl": HELPERS,
        f"{bundles}/system.yaml": SYSTEM,
        f"{bundles}/paas.yaml": PAAS,
    }


OLD = """{{- $config := lookup "v1" "ConfigMap" "cozy-system" "cozystack" }}
{{- if not $config }}
{{- fail "no config" }}
{{- end }}

releases:
- name: cilium
  releaseName: cilium
  chart: cozy-cilium
  dependsOn: []
  values:
    host: "{{ index $config.data "host" }}"
- name: metallb
  chart: cozy-metallb
  dependsOn: [cilium]
  {{- if $config }}
  values:
    a: b
  {{- end }}
- name: telepresence
  chart: cozy-telepresence
  optional: true
  dependsOn: [cilium]
"""


def v0() -> dict[str, str]:
    """Return a checkout of v0.38."""
    return {
        **package("core/platform", {"bundles/paas-full.yaml": OLD}),
        **package("system/cilium", {"templates/d.yaml": pods("quay.io/cilium/cilium:v1")}),
        **package("system/metallb", {"templates/d.yaml": pods("quay.io/metallb/speaker:v1")}),
        **package("system/telepresence", {"templates/d.yaml": pods("docker.io/datawire/tel2:1")}),
        **package("apps/redis", {"templates/r.yaml": "kind: RedisFailover\nspec:\n  image: redis:8\n"}),
    }
