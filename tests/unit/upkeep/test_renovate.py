"""The preset for Renovate finds the versions that users write, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ci.upkeep.files import Arguments, files
from ci.upkeep.vendors import PATHS

TOP = Path(__file__).parents[3]
PRESET: dict[str, Any] = json.loads((TOP / "deploy/renovate.json").read_text())
DIGEST = "sha256:" + "0" * 64


def found(file: str, text: str) -> list[dict[str, str]]:
    """What Renovate would extract from a file."""
    results: list[dict[str, str]] = []
    for manager in PRESET["customManagers"]:
        if any(re.search(pattern.strip("/"), file) for pattern in manager["managerFilePatterns"]):
            for pattern in manager["matchStrings"]:
                for match in re.finditer(pattern.replace("(?<", "(?P<"), text, re.MULTILINE):
                    name = match.groupdict().get("depName") or manager["depNameTemplate"]
                    results.append({**match.groupdict(), "depName": name})
    return results


@pytest.mark.parametrize("file", [".gitlab-ci.yml", "Jenkinsfile", "ci/build.sh", ".teamcity/settings.kts"])
def test_the_release_in_a_call_is_found(file: str) -> None:
    text = "dagger call --release v1.6.2 build --variant spin-only export --path out"
    assert found(file, text) == [{"depName": "cozystack/cozystack", "currentValue": "v1.6.2"}]


def test_daggers_version_next_to_its_action_is_found() -> None:
    path = ".github/workflows/test.yml"
    for text in ((TOP / path).read_text(), files()[path]):
        assert found(path, text) == 2 * [
            {"depName": "dagger/dagger", "currentValue": "0.21.8"}  # in each of the two jobs
        ]


@pytest.mark.parametrize("path", [path for path in PATHS if path != ".github/workflows/update.yml"])
def test_the_versions_in_a_users_ci_files_are_found(path: str) -> None:
    text = files(Arguments(module="github.com/example/cozystack-talos@v0.1.0", release="v1.6.1"))[path]
    calls = [line for line in text.splitlines() if "cozystack-talos@" in line]
    each = {(one["depName"], one["currentValue"]) for one in found(path, text)}
    assert calls
    assert each - {("dagger/dagger", "0.21.8")} == {
        ("example/cozystack-talos", "v0.1.0"),
        ("cozystack/cozystack", "v1.6.1"),
    }


def test_the_versions_in_a_variant_are_found() -> None:
    text = f"""\
extensions:
  add:
    - tailscale:1.98.1  # ours
    - spin
    - drbd:9.3.2-v1.13.6
    - ghcr.io/example/sensors:v2@{DIGEST}
    - name: zfs
      reference: registry.example.com:5000/zfs:v1@{DIGEST}
"""
    assert found("variants/edge.yaml", text) == [
        {"depName": "tailscale", "currentValue": "1.98.1"},
        {"depName": "ghcr.io/example/sensors", "currentValue": "v2", "currentDigest": DIGEST},
        {"depName": "registry.example.com:5000/zfs", "currentValue": "v1", "currentDigest": DIGEST},
    ]
    assert found("values/edge.yaml", text) == []
