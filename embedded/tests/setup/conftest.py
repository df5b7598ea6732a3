"""Set-up's tests work below a cache folder of their own, and download nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.setup.paths import paths, pyproject
from embedded.tests.setup.support import TOP, Notes, Start


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for known in (paths, pyproject):
        known.cache_clear()
    yield tmp_path / "cache/cozystack-talos"
    for known in (paths, pyproject):
        known.cache_clear()


@pytest.fixture
def notes() -> Notes:
    return Notes()


def heeds_ctrl_c() -> None:
    """Undo what a shell does to a job in the background: such a one, and all that it starts, ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a Python program (`-c TEXT` or `-m MODULE`) in a process of its own, as a user does."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": str(TOP)} | variables,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heeds_ctrl_c,  # noqa: PLW1509  the tests have no threads
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
