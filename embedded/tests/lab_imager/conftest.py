"""The lab's imager under test: in this process, and inside a Debian trixie root with its tools."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embedded.tests.lab_imager.inputs import Inputs, build_inputs, write_bad_inputs
from embedded.tests.lab_imager.runners import HostRunner, RootRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT_VARIABLE = "COZYSTACK_LAB_IMAGER_ROOT"
GOLDEN = Path(__file__).parent / "golden"


def pytest_configure(config: pytest.Config) -> None:
    """Registers this folder's marker."""
    config.addinivalue_line(
        "markers", f"lab: runs the lab's imager in the Debian root named by {ROOT_VARIABLE}; needs root"
    )


def golden(version: str, name: str) -> Any:
    """Returns a recorded fact about the real imager."""
    return json.loads((GOLDEN / version / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostRunner:
    """The imager in this process with all bad inputs, for what ends before Debian's tools are needed."""
    runner = HostRunner(tmp_path_factory.mktemp("host"))
    write_bad_inputs(runner.lab)
    (runner.install / "arm64").mkdir(parents=True)
    (runner.install / "arm64/initramfs.xz").write_bytes(b"base")
    (runner.install / "arm64/vmlinuz").write_bytes(b"kernel")
    return runner


@pytest.fixture(scope="session")
def lab_root() -> Path:
    """The root filesystem that has the imager's Debian packages."""
    named = os.environ.get(ROOT_VARIABLE)
    if not named:
        pytest.skip(f"{ROOT_VARIABLE} names no root with the packages of embedded/lab/imager/packages.txt")
    if os.geteuid() != 0:
        pytest.skip("entering another root needs root")
    return Path(named)


@pytest.fixture(scope="session")
def root(lab_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootRunner]:
    """The imager inside the Debian root, on inputs of the goldens' shape."""
    with RootRunner(lab_root, tmp_path_factory.mktemp("lab")) as runner:
        yield runner


@pytest.fixture(scope="session")
def inputs(root: RootRunner) -> Inputs:
    """Kernel, initramfs, extensions and installer base of the goldens' shape, at the runner's LAB."""
    assert shutil.which("mksquashfs"), "squashfs-tools make the tests' own base system"
    return build_inputs(root.lab, boot_files=root.boot_files())
