"""Runs of `python -m ci.steps.normalise` in surroundings that must not matter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.steps.normalise.__main__ import main

if TYPE_CHECKING:
    import pytest

TOP = Path(__file__).parents[4]
EPOCH = 1_700_000_000
EPOCH_TEXT = "2023-11-14T22:13:20Z"


#: Another machine, as far as a process can tell: its name, user, home, zone, language, time, and the order of its sets.
ELSEWHERE = {
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "LANG": "tr_TR.UTF-8",
    "USER": "someone",
    "LOGNAME": "someone",
    "HOME": "/nonexistent",
    "HOSTNAME": "elsewhere",
    "PYTHONHASHSEED": "7",
    "SOURCE_DATE_EPOCH": "1",
}
_RENAMED = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]


def _can_rename() -> bool:
    """Whether a process here may give itself another host name."""
    return shutil.which("unshare") is not None and subprocess.run([*_RENAMED, "true"], check=False).returncode == 0


def _run(arguments: list[str], env: dict[str, str], umask: int, cores: str | None) -> None:
    elsewhere = cores is not None
    renamed = _RENAMED if elsewhere and _can_rename() else []
    pinned = ["taskset", "--cpu-list", cores] if cores and shutil.which("taskset") else []
    done = subprocess.run(
        [*renamed, *pinned, sys.executable, "-m", "ci.steps.normalise", *arguments],
        cwd=TOP,
        env={"PATH": os.environ["PATH"], **env},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def run_in_two_places(here: list[str], there: list[str]) -> None:
    """Run two calls: on all cores in UTC, and on one core of another machine elsewhere in the world."""
    _run(here, {"TZ": "UTC", "LC_ALL": "C.UTF-8"}, 0o022, None)
    _run(there, ELSEWHERE, 0o077, "0")


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
