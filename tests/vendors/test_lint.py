"""Every vendor's file passes that vendor's schema or linter, and each of these does see a mistake.

A file is rendered first: for a checkout, for a user's own repository, and for Dagger 1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.upkeep.files import Arguments, files
from ci.upkeep.vendors import PATHS, parse_vendors
from tests.vendors import linters
from tests.vendors.linters import TOP, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Linter = Callable[[str, Path], list[str]]

GITHUB = {
    "github-workflows": schema("github-workflows"),
    "actionlint": linters.actionlint,
    "zizmor": linters.zizmor,
}
LINTERS: dict[str, dict[str, Linter]] = {
    ".buildkite/pipeline.yml": {"buildkite": schema("buildkite")},
    ".circleci/config.yml": {"circle-ci": schema("circle-ci")},
    ".drone.yml": {"drone-ci": schema("drone-ci")},
    ".github/workflows/pages.yml": {**GITHUB},
    ".github/workflows/release.yml": {**GITHUB},
    ".github/workflows/test.yml": {**GITHUB},
    ".github/workflows/update.yml": {**GITHUB},
    ".github/workflows/workloads.yml": {**GITHUB},
    ".gitlab-ci.yml": {
        "gitlab-ci": schema("gitlab-ci", "--data-transform=gitlab-ci", "--regex-variant=nonunicode"),
    },
    ".teamcity/settings.kts": {"kotlin": linters.kotlin},
    ".woodpecker/build.yaml": {"woodpecker-ci": schema("woodpecker-ci")},
    ".woodpecker/boot.yaml": {"woodpecker-ci": schema("woodpecker-ci")},
    ".woodpecker/test.yaml": {"woodpecker-ci": schema("woodpecker-ci")},
    ".woodpecker/workloads.yaml": {"woodpecker-ci": schema("woodpecker-ci")},
    "Jenkinsfile": {"groovy": linters.groovy},
    "azure-pipelines.yml": {
        "azure": schema("azure-pipelines", "--data-transform=azure-pipelines", "--regex-variant=nonunicode"),
    },
    "buildspec.yml": {"buildspec": linters.buildspec},
    "deploy/argo/cron-workflow.yaml": {"argo": linters.cron_workflow},
    "deploy/argo/workflow-template.yaml": {"argo": linters.workflow_template},
    "deploy/tekton/pipelines.yaml": {"tekton-lint": linters.tekton},
}


RENDERED = {
    "checkout": files(),
    "own": files(
        Arguments(
            module="github.com/OWNER/cozystack-talos@v0.1.0",
            variant=("spin-only",),
            outputs=("iso",),
            address="registry.example.com/talos",
            release="v1.6.1",
        )
    ),
    "own-registry": files(Arguments(address="ghcr.io/example/talos"), parse_vendors(["github"])),
    "dagger-1": files(Arguments(address="registry.example.com/talos", dagger="1.0.0")),
}


def test_no_file_goes_without() -> None:
    assert set(LINTERS) == set(PATHS) == {path for rendered in RENDERED.values() for path in rendered}


@pytest.mark.parametrize("kind", RENDERED)
@pytest.mark.parametrize(("path", "name"), [(path, name) for path, found in LINTERS.items() for name in found])
def test_a_file_passes(path: str, name: str, kind: str, tmp_path: Path) -> None:
    if path in RENDERED[kind]:
        assert LINTERS[path][name](RENDERED[kind][path], tmp_path) == []


def test_the_preset_for_renovate_passes(tmp_path: Path) -> None:
    text = (TOP / "deploy/renovate.json").read_text()
    assert schema("renovate")(text, tmp_path) == []
    assert schema("renovate")(text.replace('"labels": ["talos"]', '"labels": "talos"'), tmp_path) != []


@pytest.mark.parametrize(
    ("path", "name", "old", "new"),
    [
        (".buildkite/pipeline.yml", "buildkite", "matrix: [spin-only", "matrix: {a: 1} #"),
        (".circleci/config.yml", "circle-ci", "machine:\n      image:", "machine:\n      imag:"),
        (".drone.yml", "drone-ci", "kind: pipeline", "kind: pipelin"),
        (".github/workflows/test.yml", "github-workflows", "timeout-minutes:", "timeout:"),
        (".github/workflows/release.yml", "actionlint", "matrix.variant", "matrix.varient"),
        (".github/workflows/test.yml", "actionlint", "runs-on: ubuntu-24.04", "runs-on: ubuntu-24.4"),
        (".github/workflows/test.yml", "zizmor", "permissions: {}", "permissions: write-all"),
        (".github/workflows/release.yml", "zizmor", "persist-credentials: false", "fetch-depth: 1"),
        (".gitlab-ci.yml", "gitlab-ci", "      alias: docker", "      aliass: docker"),
        (".teamcity/settings.kts", "kotlin", "    steps {", "    steps {{"),
        (".woodpecker/test.yaml", "woodpecker-ci", "    image:", "    imag:"),
        ("Jenkinsfile", "groovy", "sh '''", "sh ''"),
        ("azure-pipelines.yml", "azure", "  - job: build", "  - jobb: build"),
        ("buildspec.yml", "buildspec", "  base-directory:", "  basedirectory:"),
        ("deploy/argo/workflow-template.yaml", "argo", "mountPath", "mountpath"),
        ("deploy/argo/cron-workflow.yaml", "argo", "schedules:", "scheduled:"),
        ("azure-pipelines.yml", "azure", "    always:", "    allways:"),
        (".circleci/config.yml", "circle-ci", "      - schedule:", "      - scheduled:"),
        (".woodpecker/workloads.yaml", "woodpecker-ci", "event: cron", "event: weekly"),
        ("deploy/tekton/pipelines.yaml", "tekton-lint", "$(params.revision)", "$(params.revison)"),
        ("deploy/tekton/pipelines.yaml", "tekton-lint", "name: cozystack-talos-build\n      params",
         "name: cozystack-talos-built\n      params"),
    ],
)  # fmt: skip
def test_a_linter_sees_a_mistake(path: str, name: str, old: str, new: str, tmp_path: Path) -> None:
    text = RENDERED["checkout"][path]
    assert old in text
    assert LINTERS[path][name](text.replace(old, new), tmp_path) != []
