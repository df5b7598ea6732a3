"""Several engines at one BuildKit, named in BUILDKIT_HOST, as the members of a fleet use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.setup.paths import EMBEDDED
from embedded.tests.life.harness import Engine

pytestmark = pytest.mark.engine

STEPS = 8
"""How many builds each engine has running at the same time."""

CLIENT = """
import sys
import anyio
import dagger
from dagger import dag

async def main(name, rootfs, steps):
    async with dagger.connection():
        root = dag.container().with_rootfs(dag.host().directory(rootfs)).with_env_variable("PATH", "/bin")
        script = "read -r up _ < /proc/uptime; read -r id < /proc/sys/kernel/random/uuid; echo $1 $id $up"
        said = {}

        async def run(word):
            command = ["bash", "-c", script, "bash", word]
            said[word] = (await root.with_exec(command).stdout()).split()[:2]

        async with anyio.create_task_group() as tasks:
            for number in range(steps):
                tasks.start_soon(run, f"shared-{number}")
                tasks.start_soon(run, f"{name}-{number}")
        folder = dag.directory()
        for word, (_, uuid) in sorted(said.items()):
            folder = folder.with_new_file(word, uuid)
        await folder.export(sys.argv[4])

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


def member(name: str, address: str, rootfs: Path, out: Path) -> subprocess.Popen[str]:
    """Start an engine of its own, and in its session a client with many builds at once."""
    command = [sys.executable, "-m", "embedded.cli", "run", sys.executable, "-c", CLIENT]
    env = os.environ | {"BUILDKIT_HOST": address, "PYTHONPATH": str(EMBEDDED.parent)}
    return subprocess.Popen(
        [*command, name, str(rootfs), str(STEPS), str(out)], stderr=subprocess.PIPE, text=True, env=env
    )


def test_two_engines_share_one_buildkit(engine: Engine, tmp_path: Path) -> None:
    """Each gets its own results whole; what both ask for runs once, whoever asks first."""
    holder = engine.holder()
    assert holder.stdout is not None
    address = holder.stdout.readline().strip()
    assert address.startswith("unix://")
    outs = {name: tmp_path / name for name in ("one", "two")}
    started = {name: member(name, address, engine.rootfs, out) for name, out in outs.items()}
    for name, process in started.items():
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, f"{name}: {said[-4000:]}"
    results = {name: {file.name: file.read_text() for file in out.iterdir()} for name, out in outs.items()}
    shared = {f"shared-{number}" for number in range(STEPS)}
    for name, found in results.items():
        assert set(found) == shared | {f"{name}-{number}" for number in range(STEPS)}
        assert len(set(found.values())) == 2 * STEPS  # each step ran by itself
    assert {word: results["one"][word] for word in shared} == {word: results["two"][word] for word in shared}
