from __future__ import annotations

import io
import json
import socket
import subprocess
import tarfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded import lab
from embedded.lab.progress import PlainProgress
from embedded.setup.paths import tool


@dataclass(frozen=True)
class Registry:
    """The lab's registry, seen as any registry is: through crane."""

    address: str

    def crane(self, *arguments: str) -> bytes:
        done = subprocess.run([tool("crane"), *arguments], capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def manifest(self, reference: str) -> dict[str, Any]:
        return json.loads(self.crane("manifest", f"{self.address}/{reference}"))

    def config(self, reference: str, architecture: str) -> dict[str, Any]:
        return json.loads(self.crane("config", "--platform", f"linux/{architecture}", f"{self.address}/{reference}"))

    def export(self, reference: str, architecture: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
        """Path → member and content of an image's flattened root."""
        plain = self.crane("export", "--platform", f"linux/{architecture}", f"{self.address}/{reference}", "-")
        files: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            for member in tar:
                opened = tar.extractfile(member) if member.isreg() else None
                files[member.name.removeprefix("./").rstrip("/")] = (member, opened.read() if opened else b"")
        return files


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Generator[Registry]:
    """The whole lab, built if need be, behind a registry of its own."""
    lab.ensure(progress=PlainProgress())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = (tmp_path_factory.mktemp("registry") / "log").open("wb")
    command = [tool("crane"), "registry", "serve", "--address", address, "--disk", lab.registry_folder()]
    with subprocess.Popen(command, stdout=log, stderr=log) as serving:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    lab.publish(address)
                    break
                except lab.LabError:
                    assert time.monotonic() < deadline, "the registry does not answer"
                    time.sleep(0.05)
            yield Registry(address)
        finally:
            serving.terminate()


@pytest.fixture(scope="session")
def imager_root(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The imager image of the newer Talos, unpacked: its programs run with chroot."""
    root = tmp_path_factory.mktemp("imager")
    plain = registry.crane("export", f"{registry.address}/ghcr.io/siderolabs/imager:v1.13.6", "-")
    subprocess.run(["tar", "-x", "-C", root, "--numeric-owner"], input=plain, check=True)
    (root / "dev").mkdir(exist_ok=True)
    subprocess.run(["mknod", "-m", "666", root / "dev/null", "c", "1", "3"], check=True)
    return root
