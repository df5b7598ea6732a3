"""That files which name the same thing name the same version of it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.common.paths import TOP
from ci.upkeep.agreement import Pin, Rule, disagreements, main, project_files, read_files, rules
from ci.upkeep.description import DESCRIPTION, parse_description
from ci.upkeep.files import files as ci_files

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED = parse_description(DESCRIPTION.read_text())
CLI = Rule("Dagger's command line", r"dagger_v(?P<version>[0-9.]+)_linux", Pin("0.21.8", "ci/x.yaml"))


def test_the_same_version_everywhere_is_good() -> None:
    assert disagreements({"a": "x\ndagger_v0.21.8_linux", "b": "dagger_v0.21.8_linux"}, (CLI,)) == []


def test_another_version_is_told_with_its_place() -> None:
    assert disagreements({"a": "x\ndagger_v0.21.7_linux\n", "b": "dagger_v0.21.8_linux"}, (CLI,)) == [
        "a:2: Dagger's command line is 0.21.7 here, 0.21.8 in ci/x.yaml"
    ]


def test_files_without_a_pin_have_to_agree() -> None:
    rule = Rule("the package", r'"(?P<name>[a-z]+)==(?P<version>[0-9.]+)"')
    files = {"a.toml": '"ruff==1.0"\n"pytest==2.0"', "b.toml": '"pytest==2.0"\n"ruff==1.1"'}
    assert disagreements(files, (rule,)) == ["b.toml:2: the package ruff is 1.1 here, 1.0 in a.toml:1"]


def test_a_rule_that_finds_nothing_is_told() -> None:
    assert disagreements({"a": "dagger 0.21.8"}, (CLI,)) == [
        f"Dagger's command line: no file names it in the way that is looked for ({CLI.pattern})"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("registry.dagger.io/engine:v0.21.7", "Dagger's engine is v0.21.7 here"),
        ("image: registry.dagger.io/engine:v0.21.8\n", "Dagger's engine is v0.21.8 here, v0.21.8@sha256:"),
        ('"engineVersion": "v0.20.0"', "Dagger (engineVersion) is 0.20.0 here"),
        ("dagger-io==0.21.9", "Dagger's Python SDK is 0.21.9 here"),
        ('at_least "$version" 0.21.7', "the oldest Dagger is 0.21.7 here"),
        ('at_least "${version%%-*}" 0.21.7', "the oldest Dagger is 0.21.7 here"),
        ("docker.io/library/docker:29.8.0-cli", "the image docker.io/library/docker is 29.8.0-cli here"),
        ("docker.io/library/docker:29.7.0-dind@sha256:12 ", "the image docker.io/library/docker is 29.7.0-dind"),
        ('"docker.io/library/python:3.14-slim-trixie"', "the image docker.io/library/python is 3.14-slim-trixie here"),
        (
            '"ghcr.io/sigstore/cosign/cosign:v3.1.3@sha256:12"',
            "the digest of ghcr.io/sigstore/cosign/cosign:v3",
        ),
        ("uses: actions/checkout@v7 # v7", "actions/checkout is v7 # v7 here"),
        ("moby/buildkit v0.34.2\nmoby/buildkit:v0.34.1", "BuildKit is 0.34.1 here, 0.34.2 in a:1"),
    ],
)
def test_a_way_of_naming_is_known(text: str, said: str) -> None:
    (line,) = (line for line in disagreements({"a": text}, rules(DESCRIBED)) if "no file names it" not in line)
    assert re.match(rf"a:\d+: {re.escape(said)}", line)


@pytest.mark.checkout
@pytest.mark.parametrize("name", ["daggerw", "README.md"])
def test_every_place_of_the_oldest_dagger_is_looked_at(name: str) -> None:
    version, text = DESCRIBED.dagger.version, (TOP / name).read_text()
    lines = enumerate(text.splitlines(), 1)
    places = [f"{name}:{number}" for number, line in lines if version in line and not line.startswith("#")]
    told = disagreements({name: text.replace(version, "0.21.7")}, rules(DESCRIBED))
    assert places
    assert [line.partition(": ")[0] for line in told if " 0.21.7 here" in line] == sorted(places)


def test_tests_and_templates_are_not_read(tmp_path: Path) -> None:
    for path in ("a.py", "tests/b.py", "embedded/tests/c.py", "ci/upkeep/templates/d.yml", "go.sum"):
        (file := tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert read_files(tmp_path) == {"a.py": "a.py"}


@pytest.mark.checkout
def test_the_files_of_this_project_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_ci_files_are_read_though_they_are_not_in_the_tree() -> None:
    """These name nothing outside CI: without the files, the rule would find nothing."""
    rule = Rule("Dagger's command line", r"dagger_v(?P<version>[0-9.]+)_linux", Pin("9.9.9", "ci/x.yaml"))
    read = project_files(TOP) if (TOP / ".git").exists() else ci_files()
    places = {line.partition(":")[0] for line in disagreements(read, (rule,))}
    assert {".gitlab-ci.yml", "Jenkinsfile", "buildspec.yml", ".teamcity/settings.kts"} <= places


def test_the_program_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: python -m ci.upkeep.agreement --check" in capsys.readouterr().err
