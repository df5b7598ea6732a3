"""The CI files of a user's own repository: what is asked for is in every call, and what can't be is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.arch import Arch
from ci.common.errors import CozystackTalosError, FileError, OutputError, UpstreamError, UserError
from ci.load.variant import load_variants
from ci.upkeep.description import DESCRIPTION, parse_description
from ci.upkeep.files import Arguments, files, make_settings
from ci.upkeep.render import render_files
from ci.upkeep.vendors import PATHS, VENDORS, parse_vendors
from tests.unit.upkeep.test_ci_files import CALLS, calls

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED = parse_description(DESCRIPTION.read_text())
CHECKSUM = DESCRIBED.dagger.cli[DESCRIBED.runner]
MODULE = "github.com/OWNER/cozystack-talos@v0.1.0"
VARIANTS = load_variants(
    {
        "edge.yaml": "description: x\nrole: worker\n",
        "spin-only.yaml": "description: x\nrole: worker\naliases: [spin]\n",
    }
)
OWN = Arguments(
    module=MODULE,
    variants_folder="talos/variants",
    outputs=("kernel,initramfs",),
    address="registry.example.com/talos",
    release="v1.6.1",
    arch=Arch.AMD64,
)
#: Global options of all calls.
OPTIONS = "--variants talos/variants --release v1.6.1 --arch amd64"
OWN_PATHS = [path for path in PATHS if path != ".github/workflows/update.yml"]

PAGES = ".github/workflows/pages.yml"


def own_files(arguments: Arguments, own: tuple[str, ...] | None = ("edge",)) -> dict[str, str]:
    return render_files(DESCRIBED, make_settings(DESCRIBED, arguments, VARIANTS, own), VENDORS)


def own_call(path: str, line: str) -> str:
    """A call that a checkout's file makes, as a user's own file makes it."""
    changed = line.replace("call ", f"call -m {MODULE} {OPTIONS} ").replace(
        "kernel,initramfs,cmdline,installer,iso,metal", "kernel,initramfs"
    )
    if path == ".drone.yml" or path == "buildspec.yml":
        changed = changed.replace("spin-only", "edge")
    return re.sub(r"--address \S+ --username someone --password env:\S+", "", changed).rstrip()


def published(path: str, build: str) -> str:
    """The call that publishes what a call has built."""
    password = "REGISTRY_PSW" if path == "Jenkinsfile" else "REGISTRY_PASSWORD"
    head, _, name = re.sub(r" export .*", "", build).partition("build --outputs kernel,initramfs --variant ")
    address = "--address registry.example.com/talos"
    return f"{head}publish --variant {name} {address} --username someone --password env:{password}"


@pytest.mark.parametrize("path", [path for path in OWN_PATHS if path != PAGES])
def test_a_users_own_files_call_what_was_asked_for(path: str, tmp_path: Path) -> None:
    """Module, variants, release, architecture, outputs and registry are those of the arguments, in every job."""
    expected: list[list[str]] = []
    for job in CALLS[path]:
        lines = [own_call(path, line) for line in job if "publish" not in line and "spin-tailscale" not in line]
        expected.append(lines + [published(path, line) for line in lines if "build" in line])
    assert calls(path, own_files(OWN)[path], tmp_path, CHECKSUM) == expected


def test_a_users_own_pages_are_of_the_users_own_variants_and_registry(tmp_path: Path) -> None:
    call = (
        f"--progress plain call -m {MODULE} {OPTIONS} site --variants edge --outputs kernel,initramfs "
        "--before before --address registry.example.com/talos "
        "--archives https://github.com/example/cozystack-talos/releases/download/v1.0.0 export --path site"
    )
    assert calls(PAGES, own_files(OWN)[PAGES], tmp_path, CHECKSUM) == [[call]]


@pytest.mark.parametrize("path", [path for path, jobs in CALLS.items() if "build" in str(jobs)])
def test_a_users_own_files_build_the_users_own_variants(path: str) -> None:
    text = own_files(OWN)[path]
    assert re.search(r"\bedge\b", text)
    assert "spin" not in text
    chosen = own_files(Arguments(module=MODULE, variant=("edge,spin",)))[path]
    assert re.search(r"\bedge\b", chosen)
    assert re.search(r"\bspin-only\b", chosen)


def test_an_update_is_for_a_checkout_of_this_project() -> None:
    """What it would change is this project's pins; the preset for Renovate does it elsewhere."""
    assert set(own_files(OWN)) == set(OWN_PATHS)


def test_a_users_own_file_says_how_it_was_made() -> None:
    assert own_files(OWN)[".gitlab-ci.yml"].splitlines()[0] == (
        f"# Made by `dagger call -m {MODULE} {OPTIONS} ci-files --vendor gitlab --module {MODULE} "
        "--variants-folder talos/variants --outputs kernel,initramfs --address registry.example.com/talos`."
    )


@pytest.mark.parametrize(
    ("path", "address", "username"),
    [
        (".github/workflows/release.yml", "ghcr.io/example/talos", "${{ github.actor }}"),
        (".gitlab-ci.yml", "registry.gitlab.com/example/talos", "$CI_REGISTRY_USER"),
    ],
)
def test_at_the_vendors_own_registry_its_own_login_does(path: str, address: str, username: str) -> None:
    text = own_files(Arguments(address=address))[path]
    assert f"--address {address}" in text
    assert f"{username}" in text
    assert "REGISTRY_USERNAME" not in text


# Another version of Dagger


#: A file for each way of getting the command line: by curl, by wget, by the action, in the engine's image.
WAYS = ("buildspec.yml", ".gitlab-ci.yml", ".github/workflows/test.yml", "deploy/argo/workflow-template.yaml")


@pytest.mark.parametrize("path", WAYS)
def test_from_dagger_1_on_the_jobs_use_its_own_word_for_a_call(path: str, tmp_path: Path) -> None:
    expected = [[re.sub(r"\bcall ", "api call ", line) for line in job] for job in CALLS[path]]
    assert calls(path, files(Arguments(dagger="1.0.0"))[path], tmp_path, "1111") == expected


@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_depends_on_the_version_of_dagger(path: str) -> None:
    newer = files(Arguments(dagger="1.0.0"))[path]
    pinned = newer.replace("1.0.0", "0.21.8").replace("api call", "call")
    pinned = pinned.replace("engine:v0.21.8", f"engine:v0.21.8@{DESCRIBED.dagger.engine_digest}")
    pinned = re.sub(r"(curl|wget) .*checksums\.txt .* \|", f'echo "{CHECKSUM}  dagger.tar.gz" |', pinned)
    assert "0.21.8" not in newer
    assert pinned.splitlines()[1:] == files()[path].splitlines()[1:]


@pytest.mark.parametrize("version", ["1.0.0", "v1.0.0", "1.0.0-beta.10", "1.2.3"])
def test_a_version_from_1_on_has_api_call(version: str) -> None:
    assert " api call test" in files(Arguments(dagger=version))[".gitlab-ci.yml"]


def test_before_it_call_is_the_word() -> None:
    text = files(Arguments(dagger="0.22.0"))[".gitlab-ci.yml"]
    assert "./dagger call test" in text
    assert "dagger/releases/0.22.0/dagger_v0.22.0_linux_amd64.tar.gz" in text


def test_a_given_checksum_is_in_the_files() -> None:
    text = files(Arguments(dagger="1.0.0", dagger_checksum="0" * 64))["Jenkinsfile"]
    assert f'echo "{"0" * 64}  dagger.tar.gz" | sha256sum -c' in text
    assert "checksums.txt" not in text


def test_the_pinned_version_has_its_pinned_checksum() -> None:
    expected = {path: text.splitlines()[1:] for path, text in files().items()}
    assert {path: text.splitlines()[1:] for path, text in files(Arguments(dagger="v0.21.8")).items()} == expected


# Refused arguments


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gitlabs"], "--vendor: unknown vendor 'gitlabs': did you mean gitlab?"),
        (["github,Jenkin"], "--vendor: unknown vendor 'Jenkin': did you mean jenkins?"),
        (["travis"], ("--vendor: unknown vendor 'travis': choose one of github, gitlab, circleci, jenkins, azure, "
                     "buildkite, woodpecker, drone, codebuild, teamcity, argo, tekton, all")),
        ([" , "], ("--vendor: no vendor is named: choose from github, gitlab, circleci, jenkins, azure, buildkite, "
                  "woodpecker, drone, codebuild, teamcity, argo, tekton, all")),
    ],
)  # fmt: skip
def test_an_unknown_vendor_is_refused_with_a_suggestion(names: list[str], message: str) -> None:
    with pytest.raises(FileError) as raised:
        parse_vendors(names)
    assert str(raised.value) == message


def test_vendors_are_separated_by_commas_and_all_is_every_one() -> None:
    assert [vendor.name for vendor in parse_vendors(["jenkins, gitlab", "gitlab"])] == ["gitlab", "jenkins"]
    assert parse_vendors(["all"]) == parse_vendors(["gitlab,all"]) == VENDORS


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"module": "github.com/OWNER/cozystack-talos"}, FileError,
         ("--module: bad reference 'github.com/OWNER/cozystack-talos': write a git repository with a version, such as "
         "github.com/OWNER/cozystack-talos@v0.1.0, or a folder of your repository, such as ./cozystack-talos")),
        ({"module": "x@v1; curl y"}, FileError, r"--module: bad reference"),
        ({"module": "cozystack-talos@v1"}, FileError, r"--module: bad reference"),
        ({"module": "-x/y@v1"}, FileError, r"--module: bad reference"),
        ({"variants_folder": "../variants"}, FileError,
         "--variants-folder: bad folder '../variants': write its path in your repository, such as talos/variants"),
        ({"variants_folder": "/variants"}, FileError, "--variants-folder: bad folder"),
        ({"variants_folder": "a b"}, FileError, "--variants-folder: bad folder"),
        ({"variant": ("spinonly",)}, UserError, "unknown variant 'spinonly': did you mean spin-only?"),
        ({"outputs": ("kernal",)}, OutputError, "unknown output 'kernal': did you mean kernel?"),
        ({"release": "1.6.2"}, UpstreamError, "--release: bad release '1.6.2': write CozyStack's tag, such as v1.6.2"),
        ({"dagger": "latest"}, FileError, "--dagger: bad version 'latest': write one like 0.21.8"),
        ({"dagger": "01.0.0"}, FileError, "--dagger: bad version '01.0.0': write one like 0.21.8"),
        ({"dagger": "1.\u0662.0"}, FileError, "--dagger: bad version "),
        ({"dagger": "1.0.0-"}, FileError, "--dagger: bad version '1.0.0-'"),
        ({"dagger": "v0.21.8-rc.1"}, FileError, "--dagger: Dagger 0.21.8-rc.1 is older than 0.21.8"),
        ({"dagger": "0.20.0"}, FileError,
         "--dagger: Dagger 0.20.0 is older than 0.21.8, which this module needs"),
        ({"dagger": "1.0.0", "dagger_checksum": "x"}, FileError,
         "--dagger-checksum: bad SHA-256 'x': write 64 hexadecimal digits, in lower case"),
        ({"dagger_checksum": "0" * 64}, FileError, "--dagger-checksum: no version is given: add --dagger VERSION"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(arguments: Any, error: type[CozystackTalosError], message: str) -> None:
    with pytest.raises(error) as raised:
        own_files(Arguments(**arguments))
    assert str(raised.value).startswith(message)


def test_a_folder_of_variants_without_variants_is_refused() -> None:
    with pytest.raises(FileError, match=r"^--variants-folder: no variants of your own are given: add --variants"):
        own_files(Arguments(variants_folder="variants"), own=None)


@pytest.mark.parametrize(
    "module",
    [
        MODULE,
        "https://git.example.com/talos/cozystack-talos.git@0123abc",
        "git@git.example.com:talos/cozystack-talos@v1",
        "ssh://git@git.example.com/talos/cozystack-talos@v1",
        "./cozystack-talos",
        "..",
    ],
)
def test_a_module_is_a_repository_with_a_version_or_a_folder(module: str) -> None:
    assert f"./dagger call -m {module} --variants" in own_files(Arguments(module=module))["Jenkinsfile"]
