"""The CI vendors, a row each: where the templates of its files are, and what has to be set up there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ci.common.errors import FileError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Below it, every template has the path of the file that is made of it.
TEMPLATES: Final = Path(__file__).parent / "templates"

#: Stands for every vendor.
ALL: Final = "all"


@dataclass(frozen=True)
class Vendor:
    """A CI vendor."""

    #: As `--vendor` takes it.
    name: str
    title: str
    #: Paths of the vendor's files, from the top of the repository: where the vendor looks, if it looks anywhere.
    paths: tuple[str, ...]
    #: What has to be set up there, besides connecting the repository.
    setup: str
    #: Where the credentials for a registry given as `--address` come from.
    credentials: str
    #: The vendor's own registry, to which its jobs have credentials without any setup.
    registry: str | None = None

    def has_registry(self, address: str) -> bool:
        """Say whether an address is at the vendor's own registry."""
        return address.partition("/")[0] == self.registry


VENDORS: Final = (
    Vendor(
        "github",
        "GitHub Actions",
        (
            ".github/workflows/pages.yml",
            ".github/workflows/release.yml",
            ".github/workflows/test.yml",
            ".github/workflows/update.yml",
            ".github/workflows/workloads.yml",
        ),
        "Nothing. For `update.yml`, allow GitHub Actions to create pull requests (Settings, Actions, General); for "
        "`pages.yml`, publish Pages from the branch `gh-pages` (Settings, Pages).",
        "Variable `REGISTRY_USERNAME` and secret `REGISTRY_PASSWORD`; nothing for an address at `ghcr.io`.",
        registry="ghcr.io",
    ),
    Vendor(
        "gitlab",
        "GitLab CI",
        (".gitlab-ci.yml",),
        "A runner with the Docker executor in privileged mode (GitLab.com's own are), and the container registry. For "
        "`workloads`, a schedule (Build, Pipeline schedules).",
        "CI/CD variables `REGISTRY_USERNAME` and `REGISTRY_PASSWORD` (masked); nothing for `registry.gitlab.com`.",
        registry="registry.gitlab.com",
    ),
    Vendor(
        "circleci",
        "CircleCI",
        (".circleci/config.yml",),
        "Nothing.",
        "Project environment variables `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`.",
    ),
    Vendor(
        "jenkins",
        "Jenkins",
        ("Jenkinsfile",),
        "Agents with Docker, labelled `docker`; a multibranch pipeline that discovers and builds tags.",
        "Credentials with the ID `registry`, of the kind username with password.",
    ),
    Vendor(
        "azure",
        "Azure Pipelines",
        ("azure-pipelines.yml",),
        "A pipeline made from this file.",
        "Pipeline variables `REGISTRY_USERNAME` and `REGISTRY_PASSWORD` (secret).",
    ),
    Vendor(
        "buildkite",
        "Buildkite",
        (".buildkite/pipeline.yml",),
        "Agents with Docker; builds of tags switched on in the pipeline's GitHub settings. For `workloads`, a schedule "
        "in the pipeline's settings.",
        "`REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, exported by the agents' `environment` hook.",
    ),
    Vendor(
        "woodpecker",
        "Woodpecker",
        (".woodpecker/boot.yaml", ".woodpecker/build.yaml", ".woodpecker/test.yaml", ".woodpecker/workloads.yaml"),
        "The repository is trusted with volumes, and tag events are switched on. For `workloads`, a cron job of that "
        "name in the repository's settings.",
        "Secrets `registry_username` and `registry_password`, allowed for tag events.",
    ),
    Vendor(
        "drone",
        "Drone",
        (".drone.yml",),
        "The repository is trusted, and tag events are switched on. For `workloads`, a cron job of that name in the "
        "repository's settings.",
        "Secrets `registry_username` and `registry_password`.",
    ),
    Vendor(
        "codebuild",
        "AWS CodeBuild",
        ("buildspec.yml",),
        "A project in privileged mode, with webhooks for pull requests and tags. For `workloads`, a schedule of "
        "EventBridge that starts a build with the variable `SCHEDULED=workloads`.",
        "Environment variables `REGISTRY_USERNAME` and `REGISTRY_PASSWORD` (of the type Secrets Manager).",
    ),
    Vendor(
        "teamcity",
        "TeamCity",
        (".teamcity/settings.kts",),
        "Agents with Docker; versioned settings in Kotlin; a VCS root that uses tags as branches.",
        "Project parameters `env.REGISTRY_USERNAME` and `env.REGISTRY_PASSWORD` (of the type password).",
    ),
    Vendor(
        "argo",
        "Argo Workflows",
        ("deploy/argo/cron-workflow.yaml", "deploy/argo/workflow-template.yaml"),
        "Nodes with an engine (docs/kubernetes.md) and an artifact repository; the files applied with kubectl. For "
        "`cron-workflow.yaml`, the ConfigMap that is named in it.",
        "A Kubernetes Secret `registry` with the keys `username` and `password`.",
    ),
    Vendor(
        "tekton",
        "Tekton",
        ("deploy/tekton/pipelines.yaml",),
        "Nodes with an engine (docs/kubernetes.md); the file applied with kubectl. For `cozystack-talos-workloads`, a "
        "CronJob that creates a TaskRun of it.",
        "A Kubernetes Secret `registry` with the keys `username` and `password`.",
    ),
)

#: Every file of every vendor.
PATHS: Final = tuple(sorted(path for vendor in VENDORS for path in vendor.paths))


def parse_vendors(names: Iterable[str]) -> tuple[Vendor, ...]:
    """Read vendors' names into the table's order, each once; commas separate too, and `all` stands for every one.

    Raises `FileError` for an unknown name, and where no name is given.
    """
    asked = {part.strip() for name in names for part in name.split(",") if part.strip()}
    known = [vendor.name for vendor in VENDORS]
    if unknown := sorted(asked - {*known, ALL}):
        raise FileError("--vendor", None, f"unknown vendor {unknown[0]!r}: {suggest(unknown[0], [*known, ALL])}")
    if not asked:
        raise FileError("--vendor", None, f"no vendor is named: choose from {', '.join([*known, ALL])}")
    return tuple(vendor for vendor in VENDORS if ALL in asked or vendor.name in asked)


def notes(vendors: Iterable[Vendor], address: str | None, module: str | None) -> str:
    """Return what has to be set up for the vendors' files, a line for each vendor and thing."""
    lines: list[str] = []
    for vendor in vendors:
        lines.append(f"{vendor.title}: {vendor.setup}")
        if address and not vendor.has_registry(address):
            lines.append(f"{vendor.title}, to publish to {address}: {vendor.credentials}")
    if module is None:
        lines.append(
            "The calls in these files name no module, as is right in a checkout of cozystack-talos. For another "
            "repository add --module github.com/OWNER/cozystack-talos@VERSION."
        )
    return "\n".join(lines)
