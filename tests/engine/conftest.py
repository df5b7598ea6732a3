"""What the tests in a Dagger session share: calls of the module's functions, and assets that they built.

    python -m pytest tests/engine

They call `./daggerw --lab -s`; COZYSTACK_TALOS_DAGGER names another command, for example `dagger -s`, with which the
assets are real ones, unless its engine has the lab's registry as mirror and COZYSTACK_TALOS_UPSTREAM names the lab's
checkout. COZYSTACK_TALOS_BUILT names a folder where variants were built: VARIANT/assets/talos/arm64.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.engine.built import Built

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = Path(__file__).parents[2]
COMMAND = shlex.split(os.environ.get("COZYSTACK_TALOS_DAGGER", "./daggerw --lab -s"))
UPSTREAM = os.environ.get("COZYSTACK_TALOS_UPSTREAM")
CALL = ("call", *(("--upstream", UPSTREAM) if UPSTREAM else ()))
ASSETS = "assets/talos/arm64"
OUTPUTS = "kernel,initramfs,cmdline,uki,installer,iso"


class Call(Protocol):
    """Calls a function of the module."""

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


def caller(*words: str) -> Call:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [*words, *(str(word) for word in arguments)]
        return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def call() -> Call:
    return caller(*COMMAND, *CALL)


@pytest.fixture(scope="session")
def aloud() -> Call:
    """Calls with the progress shown, as one line after the other."""
    return caller(*(word for word in COMMAND if word != "-s"), "--progress", "plain", *CALL)


@pytest.fixture(scope="session")
def core() -> Call:
    """Calls the engine's own functions."""
    return caller(*COMMAND, "core")


@pytest.fixture(scope="session")
def build(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """Build a variant, once."""
    known: dict[str, Built] = {}

    def run(variant: str) -> Built:
        before = Path(os.environ.get("COZYSTACK_TALOS_BUILT", "")) / variant / ASSETS
        if before.is_dir():
            return Built(before)
        if variant not in known:
            out = tmp_path_factory.mktemp(variant)
            done = call("build", "--variant", variant, "--outputs", OUTPUTS, "export", "--path", out)
            assert done.returncode == 0, done.stderr
            known[variant] = Built(out / ASSETS)
        return known[variant]

    return run


@pytest.fixture(scope="session")
def spin_only(build: Callable[[str], Built]) -> Built:
    return build("spin-only")


@pytest.fixture(scope="session")
def spin_tailscale(build: Callable[[str], Built]) -> Built:
    return build("spin-tailscale")


@pytest.fixture(scope="session")
def booted(spin_only: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Kernel and initramfs of spin-only, with papers of their own: a third of what there is to read."""
    outputs = ("kernel", "initramfs")
    copy = spin_only.copy(tmp_path_factory.mktemp("booted") / "copy", outputs)
    copy.seal(outputs)
    return copy
