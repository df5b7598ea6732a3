"""What a call asks of the git repository that CozyStack's release is taken from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ci.load.upstream import LAYOUTS
from tests.engine.conftest import COMMAND, TOP
from tests.engine.gitserver import serving
from tests.unit.cozystack import checkout

if TYPE_CHECKING:
    from pathlib import Path

TAG = "v1.6.2"

#: Reads the checkout as a call does, but for the program that needs the module's own files.
SCRIPT = """
import os, sys
sys.path.insert(0, os.getcwd())
import anyio, dagger
from ci.execute import load

async def nothing(_):
    return {}

async def main():
    load._told_by_git = nothing
    async with dagger.connection():
        checkout = await load.load_checkout(None, sys.argv[2], sys.argv[1])
        print(checkout.upstream.talos_version, checkout.origin.commit)

anyio.run(main)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one of CozyStack's checkouts, tagged."""
    folder = tmp_path / "served" / "cozystack.git"
    for path, text in checkout(TAG).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for words in (
        ("init", "--quiet"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "a"),
        ("tag", TAG),
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_with_everything_cached_a_call_asks_the_repository_four_times_at_most(repository: Path, tmp_path: Path) -> None:
    if not COMMAND[0].endswith("daggerw"):
        pytest.skip("counts the requests of daggerw")
    assert any((repository / layout).is_dir() for layout in LAYOUTS)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True)
    with serving(repository.parent) as (where, asked):
        for _ in range(2):
            asked.clear()
            done = subprocess.run(
                [*COMMAND, "run", sys.executable, script, f"{where}/{repository.name}", TAG],
                cwd=TOP,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.split() == ["v1.13.6", commit.stdout.strip()]
    assert 0 < len(asked) <= 4, asked
