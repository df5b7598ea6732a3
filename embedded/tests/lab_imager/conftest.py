"""The lab's imager under test: in this process, and inside a Debian trixie root with its tools."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embedded import lab
from embedded.tests.lab_imager.goldens import Goldens
from embedded.tests.lab_imager.inputs import Inputs, build_inputs, write_bad_inputs
from embedded.tests.lab_imager.runners import HostRunner, RootRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = "ghcr.io/siderolabs/imager:v1.13.6"
ROOT_VARIABLE = "COZYSTACK_LAB_IMAGER_ROOT"


def pytest_configure(config: pytest.Config) -> None:
    """Registers this folder's marker."""
    config.addinivalue_line(
        "markers", f"lab: runs the lab's imager in the root of its image or of {ROOT_VARIABLE}; needs root"
    )


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
def lab_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root filesystem that has the imager's Debian packages: the one named, else that of the lab's imager image."""
    if os.geteuid() != 0:
        pytest.skip("entering another root needs root")
    if named := os.environ.get(ROOT_VARIABLE):
        return Path(named)
    results = lab.builder().results([IMAGE])
    if results is None:
        pytest.skip(
            f"the lab has not made {IMAGE} (./daggerw --engine lab build), and {ROOT_VARIABLE} names no other root"
        )
    folder = tmp_path_factory.mktemp("root")
    for layer in _amd64_layers(results[IMAGE].value["image"]["digest"]):
        subprocess.run(["tar", "-xzf", layer, "-C", folder], check=True)
    return folder


def _amd64_layers(index: str) -> list[Path]:
    """Returns the files with the layers of an image of the lab, lowest first."""

    def blob(digest: str) -> Path:
        return lab.registry_folder() / digest.replace(":", "/")

    manifests = json.loads(blob(index).read_text())["manifests"]
    (manifest,) = [entry for entry in manifests if entry["platform"]["architecture"] == "amd64"]
    return [blob(layer["digest"]) for layer in json.loads(blob(manifest["digest"]).read_text())["layers"]]


@pytest.fixture(scope="session")
def root(lab_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootRunner]:
    """The imager inside the Debian root, on inputs of the goldens' shape."""
    with RootRunner(lab_root, tmp_path_factory.mktemp("lab")) as runner:
        yield runner


@pytest.fixture(scope="session")
def inputs(root: RootRunner) -> Inputs:
    """Kernel, initramfs, extensions and installer base of the goldens' shape, at the runner's LAB."""
    return build_inputs(root.lab, boot_files=root.boot_files(), tool=root.tool)


@pytest.fixture(scope="session")
def goldens(root: RootRunner, inputs: Inputs) -> Goldens:
    """The recorded profiles, each run once."""
    return Goldens(root, inputs)
