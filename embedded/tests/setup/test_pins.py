"""What is installed is what is pinned, the packages that others bring along included."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from embedded.setup.paths import pyproject
from embedded.tests.setup.support import TOP


def _pins(lines: list[str]) -> dict[str, str]:
    pins: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^;\s]+)", line)
        assert match, f"{line!r} is not pinned to one version"
        pins[_plain(match[1])] = match[2]
    return pins


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_direct_dependencies_are_pinned_as_the_closure_says() -> None:
    project = pyproject()
    closure = _pins(project["tool"]["uv"]["constraint-dependencies"])
    direct = _pins([*project["project"]["dependencies"], *project["dependency-groups"]["dev"]])
    assert direct.items() <= closure.items()


def test_every_installed_package_is_pinned_to_the_version_that_is_installed() -> None:
    installed = {_plain(one.metadata["Name"]): one.version for one in distributions()}
    if "dagger-io" not in installed:
        pytest.skip("this Python is not the engine's environment")
    closure = _pins(pyproject()["tool"]["uv"]["constraint-dependencies"])
    assert installed.items() <= closure.items()


def test_daggerw_is_clean_for_shellcheck() -> None:
    shellcheck = Path(sys.prefix) / "bin/shellcheck"
    if not shellcheck.exists():
        pytest.skip("shellcheck is one of the development tools")
    done = subprocess.run([shellcheck, "--shell=sh", TOP / "daggerw"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
