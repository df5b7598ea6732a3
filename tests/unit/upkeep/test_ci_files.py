"""The vendors' CI files: those in the tree as rendered, all of them calling what they should."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.common.arch import Arch
from ci.common.errors import FileError
from ci.load import variant
from ci.upkeep.description import DESCRIPTION, Description, parse_description
from ci.upkeep.files import Arguments, files, make_settings
from ci.upkeep.render import render, render_files
from ci.upkeep.vendors import PATHS, TEMPLATES, VENDORS, notes, parse_vendors
from tests.unit.upkeep.ci_scripts import dagger_calls, run, scripts

if TYPE_CHECKING:
    from ci.upkeep.vendors import Vendor

TOP = Path(__file__).parents[3]
TEXT = DESCRIPTION.read_text()
TEST = "call test"
BOOT = "call boots"
PUBLISH = "call publish --variant spin-only --address {} --username someone --password env:{}"
BUILD = "call build --outputs kernel,initramfs,cmdline,installer,iso,metal --variant {} export --path {}"

SITE = (
    "call site --variants spin-only,spin-tailscale --outputs kernel,initramfs,cmdline,installer,iso,metal "
    "--before before --address ghcr.io/example/cozystack-talos "
    "--archives https://github.com/example/cozystack-talos/releases/download/v1.0.0 export --path site"
)

WORKLOADS = "call workloads-record --release newest --before pinned export --path {}"

#: What each file's jobs call, in their order.
CALLS = {
    ".buildkite/pipeline.yml": [
        [TEST],
        [BOOT],
        [WORKLOADS.format("workloads")],
        [BUILD.format("spin-only", "out/spin-only")],
    ],
    ".circleci/config.yml": [[TEST], [BOOT], [BUILD.format("spin-only", "out")], [WORKLOADS.format("workloads")]],
    ".drone.yml": [
        [TEST],
        [BOOT],
        [BUILD.format("spin-only", "out/spin-only"), BUILD.format("spin-tailscale", "out/spin-tailscale")],
        [WORKLOADS.format("workloads")],
    ],
    ".github/workflows/pages.yml": [["--progress plain " + SITE]],
    ".github/workflows/release.yml": [
        [
            "--progress plain " + BUILD.format("spin-only", "out"),
            "--progress plain " + PUBLISH.format("ghcr.io/example/cozystack-talos", "REGISTRY_PASSWORD"),
        ],
        [],
    ],
    ".github/workflows/test.yml": [["--progress plain " + TEST], ["--progress plain " + BOOT]],
    ".github/workflows/update.yml": [
        ["--progress plain call outdated", "--progress plain --auto-apply call update"],
    ],
    ".github/workflows/workloads.yml": [
        ["--progress plain " + WORKLOADS.format("workloads")],
    ],
    ".gitlab-ci.yml": [
        [TEST],
        [BOOT],
        [
            BUILD.format("spin-only", "out"),
            PUBLISH.format("registry.example.com/cozystack-talos", "CI_REGISTRY_PASSWORD"),
        ],
        [WORKLOADS.format("workloads")],
    ],
    ".teamcity/settings.kts": [[TEST], [BOOT], [WORKLOADS.format("workloads")], [BUILD.format("spin-only", "out")]],
    ".woodpecker/boot.yaml": [[BOOT]],
    ".woodpecker/build.yaml": [[BUILD.format("spin-only", "out")]],
    ".woodpecker/test.yaml": [[TEST]],
    ".woodpecker/workloads.yaml": [[WORKLOADS.format("workloads")]],
    "Jenkinsfile": [
        [TEST],
        [BOOT],
        [WORKLOADS.format("workloads")],
        [BUILD.format("spin-only", "out/spin-only")],
    ],
    "azure-pipelines.yml": [[TEST], [BOOT], [WORKLOADS.format("workloads")], [BUILD.format("spin-only", "out")]],
    "buildspec.yml": [
        [BUILD.format("spin-only", "out/spin-only"), BUILD.format("spin-tailscale", "out/spin-tailscale")],
    ],
    "deploy/argo/cron-workflow.yaml": [],
    "deploy/argo/workflow-template.yaml": [
        [TEST],
        [BOOT],
        [WORKLOADS.format("workloads")],
        [BUILD.format("spin-only", "out")],
    ],
    "deploy/tekton/pipelines.yaml": [
        [TEST],
        [BOOT],
        [WORKLOADS.format("workloads")],
        [BUILD.format("spin-only", "assets/spin-only")],
    ],
}  # fmt: skip

#: Have the command line in an image, or from their action.
NOT_DOWNLOADING = (".github/", "deploy/")


GITHUB = parse_vendors(["github"])[0].paths


@pytest.mark.parametrize("path", GITHUB)
def test_a_file_in_the_tree_is_as_rendered(path: str) -> None:
    """Where this fails: `dagger call ci-files --vendor github`."""
    assert (TOP / path).read_text() == files()[path]


def test_no_other_file_is_where_a_vendor_looks() -> None:
    assert [path for path in PATHS if path not in GITHUB and (TOP / path).exists()] == []
    workflows = {path.relative_to(TOP).as_posix() for path in (TOP / ".github").rglob("*") if path.is_file()}
    assert workflows - set(GITHUB) == set()


def test_every_vendor_has_files_of_its_own() -> None:
    paths = [path for vendor in VENDORS for path in vendor.paths]
    assert len(paths) == len(set(paths))
    assert set(paths) == set(PATHS) == set(CALLS)
    assert [vendor.name for vendor in VENDORS if not vendor.paths] == []


def test_every_template_is_a_vendors() -> None:
    assert {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*") if path.is_file()} == set(PATHS)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_a_file_says_how_it_was_made(vendor: Vendor) -> None:
    for text in files(vendors=[vendor]).values():
        assert f"Made by `dagger call ci-files --vendor {vendor.name}` from ci/upkeep/: edit " in text.splitlines()[0]


def calls(path: str, text: str, folder: Path, checksum: str) -> list[list[str]]:
    """What a file's jobs call, in their order; each has to check the archive that it downloads."""
    called: list[list[str]] = []
    for number, job in enumerate(scripts(path, text)):
        (place := folder / str(number)).mkdir()
        ran = run(job, place)
        called.append([" ".join(words) for words in dagger_calls(ran)])
        if not path.startswith(NOT_DOWNLOADING):
            assert ran.checked == [f"{checksum}  dagger.tar.gz"]
    return called


@pytest.mark.parametrize("path", PATHS)
def test_a_files_jobs_make_the_two_calls(path: str, tmp_path: Path) -> None:
    description = parse_description(TEXT)
    assert calls(path, files()[path], tmp_path, description.dagger.cli[description.runner]) == CALLS[path]


@pytest.mark.parametrize("path", [path for path, jobs in CALLS.items() if "build" in str(jobs)])
def test_a_file_that_builds_builds_every_variant(path: str) -> None:
    text = files()[path]
    assert [name for name in variant.read_variants(variant.BUILTIN).names if not re.search(rf"\b{name}\b", text)] == []


def test_codebuild_tests_what_is_no_tag(tmp_path: Path) -> None:
    (job,) = scripts("buildspec.yml", files()["buildspec.yml"])
    assert dagger_calls(run(job, tmp_path, {"CODEBUILD_WEBHOOK_TRIGGER": "pr/1"})) == [
        ["call", "test"],
        ["call", "boots"],
    ]


def test_codebuild_reports_when_a_schedule_says_so(tmp_path: Path) -> None:
    (job,) = scripts("buildspec.yml", files()["buildspec.yml"])
    assert [" ".join(words) for words in dagger_calls(run(job, tmp_path, {"SCHEDULED": "workloads"}))] == [
        WORKLOADS.format("out")
    ]


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_vendor_can_report_every_week(vendor: Vendor) -> None:
    """By a schedule in its files, or else by one that is set up there, which the page says."""
    rendered = "".join(files(vendors=[vendor]).values())
    assert "workloads-record --release newest --before pinned" in rendered
    scheduled = "47 4 * * 1" in rendered or "schedulingPolicy = weekly" in rendered
    assert scheduled or re.search("For `[a-z-]*workloads`, a (?:schedule|cron job|CronJob)", vendor.setup)


def test_the_release_on_github_has_checksums_of_all(tmp_path: Path) -> None:
    job = scripts(".github/workflows/release.yml", files()[".github/workflows/release.yml"])[1]
    assert run(job, tmp_path).calls == [
        ["sha256sum", "--", "release.tar"],
        [*("gh", "release", "create", "v1.0.0", "--verify-tag", "--generate-notes", "--"),
         *("release.tar", "checksums.sha256")],
    ]  # fmt: skip


def test_the_update_on_github_says_what_changes(tmp_path: Path) -> None:
    path = ".github/workflows/update.yml"
    calls = run(scripts(path, files()[path])[0], tmp_path).calls
    assert [
        "git",
        "push",
        "--force",
        "https://x-access-token:ghs_0@github.com/example/cozystack-talos.git",
        "HEAD:refs/heads/update",
    ] in calls
    assert calls[-1] == ["gh", "pr", "create", "--head", "update", "--title", "Update CozyStack and extensions",
                         "--body", "Talos is newer"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_everything_that_is_fetched_is_pinned(path: str) -> None:
    text = files()[path]
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[0-9.]+", action)
    for image in re.findall(r"(?:image|name): (\S+/\S+:\S+)", text):
        assert re.fullmatch(r"\S+:[\w.-]+@sha256:[0-9a-f]{64}", image)
    assert ":latest" not in text


# The description


def changed_description(old: str, new: str) -> Description:
    assert old in TEXT
    return parse_description(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("runner: amd64", "runer: amd64", r"description\.yaml:\d+: unknown key 'runer': did you mean runner\?"),
        ("kernel, initramfs", "kernal, initramfs",
         r"description\.yaml:5: outputs: unknown output 'kernal': did you mean kernel\?"),
        ("engineDigest: sha256:", "engineDigest: registry.dagger.io/engine:v0.21.7@sha256:",
         r"description\.yaml:\d+: dagger\.engineDigest: .*pattern"),
        ("version: 0.21.8", "version: latest", r"description\.yaml:\d+: dagger\.version: .*pattern"),
        ("29.8.0-cli@sha256:eccaacfeed644c7de222ff047483568cb988dde95476fbaaf10ea2d04921bb66", "29.8.0-cli",
         r"description\.yaml:\d+: images\.docker: \S+: an image that runs in CI has both tag and digest"),
        ("53e226c7da8f", "xyz", r"description\.yaml:\d+: dagger\.cli\.amd64: .*pattern"),
        ("commit: 3d3c42e5aac5ba805825da76410c181273ba90b1", "commit: v7",
         r"description\.yaml:\d+: actions\.checkout\.commit: .*pattern"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        changed_description(old, new)


def test_a_runner_needs_its_command_lines_checksum() -> None:
    text = re.sub(r"\n    arm64: [0-9a-f]{64}", "", TEXT).replace("runner: amd64", "runner: arm64")
    with pytest.raises(FileError, match="has no checksum for arm64, which the runner is"):
        parse_description(text)


def test_another_runner_gets_its_own_archive() -> None:
    description = changed_description("runner: amd64", "runner: arm64")
    assert description.runner == "arm64"
    settings = make_settings(description, Arguments(), variant.read_variants(variant.BUILTIN))
    text = render_files(description, settings, parse_vendors(["gitlab"]))[".gitlab-ci.yml"]
    assert "dagger_v0.21.8_linux_arm64.tar.gz" in text
    assert description.dagger.cli[Arch.ARM64] in text


def test_the_version_of_dagger_is_one_value() -> None:
    description = changed_description("version: 0.21.8", "version: 0.22.3")
    settings = make_settings(description, Arguments(), variant.read_variants(variant.BUILTIN))
    rendered = "".join(render_files(description, settings, VENDORS).values())
    assert "0.22.3" in rendered
    assert "0.21.8" not in rendered
    assert f"registry.dagger.io/engine:v0.22.3@{description.dagger.engine_digest}" in rendered


def test_a_template_names_only_what_there_is() -> None:
    with pytest.raises(FileError, match=r"a\.yml: the template names 'b', which the description does not have"):
        render("x: %%{b}\n", {}, "a.yml")


def test_a_line_is_kept_on_its_condition() -> None:
    template = "a %%{x} %%?x\nb %%!x\nc %%?y\nd %%!y\n"
    assert render(template, {"x": "1", "y": ""}, "a.yml") == "a 1\nd\n"
    with pytest.raises(FileError, match=r"a\.yml: the template names 'z', which the description does not have"):
        render("a %%?z\n", {}, "a.yml")


def test_a_vendors_own_expressions_stay() -> None:
    text = "${{ a }} {{b}} $(c) %d% << e >> ${F} 100%\n"
    assert render(text, {}, "a.yml") == text


# What has to be set up


def test_it_is_said_what_has_to_be_set_up() -> None:
    gitlab, jenkins = parse_vendors(["gitlab,jenkins"])
    assert notes((gitlab,), None, "./x") == f"GitLab CI: {gitlab.setup}"
    assert notes((jenkins,), "registry.example.com/talos", "./x").splitlines()[1] == (
        f"Jenkins, to publish to registry.example.com/talos: {jenkins.credentials}"
    )
    assert gitlab.credentials not in notes((gitlab,), "registry.gitlab.com/x", None)
    assert "--module github.com/OWNER/cozystack-talos@VERSION" in notes((gitlab,), None, None)


PAGE = (TOP / "docs/ci.md").read_text()


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_the_page_shows_command_files_and_setup_of_a_vendor(vendor: Vendor) -> None:
    command = f"`dagger call ci-files --vendor {vendor.name}`"
    paths = ", ".join(f"`{path}`" for path in vendor.paths)
    assert f"| {vendor.title} | {command} | {paths} | {vendor.setup} |" in PAGE
    assert f"| {vendor.title} | {vendor.credentials} |" in PAGE
