"""Signatures of what goes into a build: the lab's images, signed with a key, and cosign in a container."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded import lab
from embedded.engine.life.place import MODES, Place
from embedded.lab.contents import cosign
from embedded.lab.debian import NATIVE
from embedded.lab.progress import PlainProgress
from embedded.setup.paths import paths, tool

TOP = Path(__file__).parents[3]
pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Signed:
    """A registry that containers reach, with the lab's images; what is signed in it, and how to sign more."""

    folder: Path
    port: int
    images: tuple[str, ...]

    def cosign(self, *arguments: str) -> None:
        program = lab.builder().results_folder(f"part/cosign/{NATIVE}") / "cosign"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "COSIGN_PASSWORD": "secret"}
        subprocess.run([program, *arguments], cwd=self.folder, env=environment, check=True, capture_output=True)

    def key(self, name: str) -> Path:
        """Make a key pair, and return the public one."""
        self.cosign("generate-key-pair", "--output-key-prefix", name)
        return self.folder / f"{name}.pub"

    def sign(self, image: str, key: str) -> None:
        """Sign an image as `publish --sign` does."""
        registry, _, digest = image.partition("@")
        reference = f"127.0.0.1:{self.port}/{registry.rpartition(':')[0]}@{digest}"
        no_log = ("--use-signing-config=false", "--tlog-upload=false")
        self.cosign("sign", "--yes", "--recursive", "--key", f"{key}.key", *no_log, reference)


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DAGGERW_ENGINE": "embedded"}
    command = [TOP / "daggerw", "--lab", "-s", "call", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)


def publish(address: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            return lab.publish(address)
        except lab.LabError:
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.05)


def images_of(plan: dict[str, Any]) -> tuple[str, ...]:
    images = [plan["imager"], plan["installerBase"], plan["catalog"], *plan["extensions"]]
    return tuple(f"{image['reference']}@{image['digest']}" for image in images)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Signed]:
    """All of spin-only's images signed with the key `ours`, but for the last, which `another` signed."""
    reference = f"ghcr.io/sigstore/cosign/cosign:{cosign.version()}"
    lab.ensure([reference], progress=PlainProgress())
    plan = call("plan", "--variant", "spin-only", "--format", "json")
    assert plan.returncode == 0, plan.stderr
    folder = tmp_path_factory.mktemp("signed")
    # Signatures go beside the lab's blobs, not among them.
    shutil.copytree(lab.registry_folder(), folder / "registry", copy_function=link_or_copy)
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        port = free.getsockname()[1]
    command = [tool("crane"), "registry", "serve", "--address", f"0.0.0.0:{port}", "--disk", folder / "registry"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as serving:
        try:
            publish(f"127.0.0.1:{port}")
            registry = Signed(folder, port, images_of(json.loads(plan.stdout)))
            for name in ("ours", "another"):
                registry.key(name)
            for image in registry.images[:-1]:
                registry.sign(image, "ours")
            registry.sign(registry.images[-1], "another")
            yield registry
        finally:
            serving.terminate()


def seen_from_containers(port: int) -> str:
    """Return the registry's address in a container: the machine is at the other end of the network's bridge."""
    place = Place(paths().cache, next(mode for mode in MODES if mode == "lab"))
    shown = subprocess.run(["ip", "-4", "-j", "address", "show", place.bridge], capture_output=True, check=True)
    address = json.loads(shown.stdout)[0]["addr_info"][0]["local"]
    assert ipaddress.ip_address(address).is_private
    return f"{address}:{port}"


def build(signed: Signed, *arguments: str) -> subprocess.CompletedProcess[str]:
    mirror = f"ghcr.io={seen_from_containers(signed.port)}/ghcr.io"
    options = ("--variant", "spin-only", "--outputs", "kernel", "--verify-signatures", "--cosign-mirrors", mirror)
    return call("build", *options, *arguments)


def test_a_build_stops_at_an_image_that_another_key_signed(signed: Signed) -> None:
    done = build(signed, "--cosign-key", str(signed.folder / "ours.pub"), "entries")
    assert done.returncode != 0
    assert f"1 of {len(signed.images)} images are not signed as they have to be:" in done.stderr
    assert f"{signed.images[-1]}: not signed by the key given: no matching attestations: " in done.stderr
    assert "exec /usr/bin/imager" not in done.stderr
    assert done.stdout == ""


def test_a_build_of_signed_images_runs(signed: Signed, tmp_path: Path) -> None:
    signed.sign(signed.images[-1], "ours")
    done = build(signed, "--cosign-key", str(signed.folder / "ours.pub"), "export", "--path", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assets = tmp_path / "out/assets/talos/arm64"
    assert (assets / "boot/vmlinuz").stat().st_size > 1_000_000
    provenance = json.loads((assets / "validation/provenance.json").read_text())
    inputs = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    told = {one["name"]: one["annotations"]["signedBy"] for one in inputs if "annotations" in one}
    assert set(told.values()) == {"the key given"}
    assert len(told) == len(signed.images)
    report = (assets / "validation/build-report.txt").read_text()
    assert f"signed by the key given: {len(signed.images)} of the inputs" in report


def test_without_a_key_the_labs_images_are_not_sideros(signed: Signed) -> None:
    done = build(signed, "entries")
    assert done.returncode != 0
    assert done.stderr.count(": not signed by Sidero Labs: ") == len(signed.images)
    assert "Traceback" not in done.stderr
