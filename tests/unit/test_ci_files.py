"""The vendors' CI files: as rendered, without what can't be, and calling what they should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci.common.errors import CiFilesError
from ci.load import variant
from ci.upkeep import PATHS, files
from ci.upkeep.description import DESCRIPTION, Description, parse_description
from ci.upkeep.render import render
from tests.unit.ci_scripts import dagger_calls, run, scripts

TOP = Path(__file__).parents[2]
TEXT = DESCRIPTION.read_text()
TEST = "call test"
BOOT = "call boots"
PUBLISH = "call publish --variant spin-only --address {} --username someone --password env:{}"
BUILD = "call build --outputs kernel,initramfs,cmdline,installer,iso,metal --variant {} export --path {}"

#: What each file's jobs call, in their order.
CALLS = {
    ".buildkite/pipeline.yml": [[TEST], [BOOT], [BUILD.format("spin-only", "out/spin-only")]],
    ".circleci/config.yml": [[TEST], [BOOT], [BUILD.format("spin-only", "out")]],
    ".drone.yml": [
        [TEST],
        [BOOT],
        [BUILD.format("spin-only", "out/spin-only"), BUILD.format("spin-tailscale", "out/spin-tailscale")],
    ],
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
    ".gitlab-ci.yml": [
        [TEST],
        [BOOT],
        [
            BUILD.format("spin-only", "out"),
            PUBLISH.format("registry.example.com/cozystack-talos", "CI_REGISTRY_PASSWORD"),
        ],
    ],
    ".teamcity/settings.kts": [[TEST], [BOOT], [BUILD.format("spin-only", "out")]],
    ".woodpecker/boot.yaml": [[BOOT]],
    ".woodpecker/build.yaml": [[BUILD.format("spin-only", "out")]],
    ".woodpecker/test.yaml": [[TEST]],
    "Jenkinsfile": [[TEST], [BOOT], [BUILD.format("spin-only", "out/spin-only")]],
    "azure-pipelines.yml": [[TEST], [BOOT], [BUILD.format("spin-only", "out")]],
    "buildspec.yml": [
        [BUILD.format("spin-only", "out/spin-only"), BUILD.format("spin-tailscale", "out/spin-tailscale")],
    ],
    "docs/ci/argo/workflow-template.yaml": [[TEST], [BOOT], [BUILD.format("spin-only", "out")]],
    "docs/ci/tekton/pipelines.yaml": [[TEST], [BOOT], [BUILD.format("spin-only", "assets/spin-only")]],
}  # fmt: skip

#: Have the command line in an image, or from their action.
NOT_DOWNLOADING = (".github/", "docs/ci/")


@pytest.mark.parametrize("path", PATHS)
def test_a_file_is_as_rendered(path: str) -> None:
    """Where this fails: `dagger call ci-files`."""
    assert (TOP / path).read_text() == files()[path]


def test_no_other_file_lies_where_a_vendor_looks() -> None:
    folders = (".github/workflows", ".circleci", ".buildkite", ".woodpecker", ".teamcity", "docs/ci")
    there = {path.relative_to(TOP).as_posix() for name in folders for path in (TOP / name).rglob("*") if path.is_file()}
    assert there - set(PATHS) == set()


@pytest.mark.parametrize("path", PATHS)
def test_a_file_says_where_it_comes_from(path: str) -> None:
    assert "Made by `dagger call ci-files`" in files()[path].splitlines()[0]


@pytest.mark.parametrize("path", PATHS)
def test_a_files_jobs_make_the_two_calls(path: str, tmp_path: Path) -> None:
    called: list[list[str]] = []
    for number, job in enumerate(scripts(path, (TOP / path).read_text())):
        (folder := tmp_path / str(number)).mkdir()
        ran = run(job, folder)
        called.append([" ".join(words) for words in dagger_calls(ran)])
        if not path.startswith(NOT_DOWNLOADING):
            description = parse_description(TEXT)
            assert ran.checked == [f"{description.dagger.cli[description.runner]}  dagger.tar.gz"]
    assert called == CALLS[path]


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


def known_by_id(old: str, new: str) -> Description:
    assert old in TEXT
    return parse_description(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("runner: amd64", "runer: amd64", r"description\.yaml:\d+: unknown key 'runer': did you mean runner\?"),
        ("kernel, initramfs", "kernal, initramfs",
         r"description\.yaml:4: outputs: unknown output 'kernal': did you mean kernel\?"),
        ("engine:v0.21.8@", "engine:v0.21.7@",
         r"description\.yaml:\d+: the engine \S+ is not of version 0\.21\.8: engine and command line go together"),
        ("29.8.0-cli@sha256:eccaacfeed644c7de222ff047483568cb988dde95476fbaaf10ea2d04921bb66", "29.8.0-cli",
         r"description\.yaml:\d+: images\.docker: \S+: an image that runs in CI has both tag and digest"),
        ("53e226c7da8f", "xyz", r"description\.yaml:\d+: dagger\.cli\.amd64: .*pattern"),
        ("commit: 3d3c42e5aac5ba805825da76410c181273ba90b1", "commit: v7",
         r"description\.yaml:\d+: actions\.checkout\.commit: .*pattern"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(CiFilesError, match=message):
        known_by_id(old, new)


def test_a_runner_needs_its_command_lines_checksum() -> None:
    text = re.sub(r"\n    arm64: [0-9a-f]{64}", "", TEXT).replace("runner: amd64", "runner: arm64")
    with pytest.raises(CiFilesError, match="has no checksum for arm64, which the runner is"):
        parse_description(text)


def test_another_runner_gets_its_own_archive() -> None:
    assert known_by_id("runner: amd64", "runner: arm64").runner == "arm64"


def test_a_template_names_only_what_there_is() -> None:
    with pytest.raises(CiFilesError, match=r"a\.yml: the template names 'b', which the description does not have"):
        render("x: %%{b}\n", {}, "a.yml")


def test_a_vendors_own_expressions_stay() -> None:
    text = "${{ a }} {{b}} $(c) %d% << e >> ${F} 100%\n"
    assert render(text, {}, "a.yml") == text
