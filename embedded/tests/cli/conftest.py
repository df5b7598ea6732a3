"""Fixtures of the command line's tests: ways to run a command line and look at what it did."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from embedded.cli.app import main
from embedded.tests.cli.fake import FakeEngine

TOP = Path(__file__).parents[3]
PROBE = TOP / "embedded" / "tests" / "probe"


@dataclass(frozen=True)
class Outcome:
    """What a command line did; `folder` is where it was run."""

    code: int
    stdout: str
    stderr: str
    folder: Path


class Runner(Protocol):
    """Runs a command line in a copy of the probe module."""

    def __call__(self, args: list[str]) -> Outcome: ...


Dagger = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DAGGER")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("GREET_TOKEN", "12345678")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def dagger(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Dagger:
    """Run a command line in process, against the fake engine, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, silent: bool = True) -> Outcome:
        capfd.readouterr()
        code = main([*(["-s"] if silent else []), *args], engine)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err, tmp_path)

    return run


@pytest.fixture
def more(engine: FakeEngine) -> None:
    """Let the fake serve the module with everything that the probe does not have."""
    engine.module = "more"


@pytest.fixture(scope="session")
def probe_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module") / "probe"
    shutil.copytree(PROBE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    fill_probe_folder(folder)
    return folder


@pytest.fixture(params=["fake", pytest.param("daggerw", marks=pytest.mark.engine)])
def runner(request: pytest.FixtureRequest) -> Runner:
    """Run against the fake in process, and against the real thing through `./daggerw`."""
    if request.param == "daggerw":
        folder: Path = request.getfixturevalue("probe_copy")

        def real(args: list[str]) -> Outcome:
            command = [str(TOP / "daggerw"), "-s", *args]
            env = {**os.environ, "DAGGERW_ENGINE": "embedded"}
            done = subprocess.run(
                command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False
            )
            return Outcome(done.returncode, done.stdout, done.stderr, folder)

        return real
    dagger: Dagger = request.getfixturevalue("dagger")
    fill_probe_folder(Path.cwd())
    shutil.copy(PROBE / "pyproject.toml", Path.cwd())

    def fake(args: list[str]) -> Outcome:
        return dagger(*args)

    return fake


def fill_probe_folder(folder: Path) -> None:
    """Put what the recorded questions need beside the module."""
    (folder / "in.txt").write_text("file text")
    (folder / "notes").mkdir(exist_ok=True)
    (folder / "notes" / "copyright").write_text("not a toml file")
