"""An engine with a cache folder of the test's own, and a root filesystem for its containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.engine.life.leases import stop
from embedded.engine.life.place import MODES
from embedded.setup.paths import paths
from embedded.tests.life.harness import Engine


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem with bash, sleep and cat of this machine, and the libraries that they need."""
    root = tmp_path_factory.mktemp("rootfs")
    (root / "bin").mkdir()
    for name in ("bash", "sleep", "cat"):
        program = shutil.which(name)
        assert program
        shutil.copy(program, root / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", listed):
            (root / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / library.lstrip("/"))
    return root


@pytest.fixture
def engine(tmp_path: Path, rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine with a cache folder of its own; all is ended afterwards."""
    if os.geteuid() != 0:
        pytest.skip("BuildKit needs root")
    for name in ("BUILDKIT_HOST", "COZYSTACK_TALOS_IDLE_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COZYSTACK_TALOS_BUILDKITD_TOML", "/dev/null")
    engine = Engine(replace(paths(), cache=tmp_path / "cache"), rootfs)
    try:
        yield engine
    finally:
        for process in engine.started:
            process.kill()
            process.wait()
        for mode in MODES:
            stop(engine.place(mode))
