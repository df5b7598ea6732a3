"""An engine with a cache folder of the test's own, and a root filesystem for its containers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.setup.paths import paths
from embedded.tests.life.alone import alone
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
def engine(tmp_path: Path, rootfs: Path) -> Iterator[Engine]:
    """An engine with a cache folder of its own; all is ended afterwards."""
    with alone(Engine(replace(paths(), cache=tmp_path / "cache"), rootfs)) as engine:
        yield engine
