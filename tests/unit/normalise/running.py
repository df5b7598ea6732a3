"""Runs of `python -m ci.normalise` in surroundings that must not matter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.normalise.__main__ import main

if TYPE_CHECKING:
    import pytest

TOP = Path(__file__).parents[3]
EPOCH = 1_700_000_000
EPOCH_TEXT = "2023-11-14T22:13:20Z"


def _run(arguments: list[str], env: dict[str, str], umask: int, cores: str | None) -> None:
    pinned = ["taskset", "--cpu-list", cores] if cores and shutil.which("taskset") else []
    done = subprocess.run(
        [*pinned, sys.executable, "-m", "ci.normalise", *arguments],
        cwd=TOP,
        env={"PATH": os.environ["PATH"], **env},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def run_in_two_places(here: list[str], there: list[str]) -> None:
    """Run two calls: on all cores in UTC, and on one core elsewhere in the world."""
    _run(here, {"TZ": "UTC", "LC_ALL": "C.UTF-8"}, 0o022, None)
    _run(there, {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1"}, 0o077, "0")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a call that has to fail, and return the one line that says why."""
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err.strip()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
