"""Names of folders follow from their inputs, and from nothing else."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.setup import paths as module
from embedded.setup.errors import SetupError
from embedded.setup.paths import REVISION, cache_folder, machine_program, paths, pyproject, step_folder, tool
from embedded.setup.prune import remove_superseded
from embedded.tests.setup.support import TOP


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the names follow from."""
    copy = tmp_path / "embedded"
    (copy / "tools").mkdir(parents=True)
    shutil.copy(TOP / "embedded/pyproject.toml", copy)
    for name in ("go.mod", "go.sum", "exec", "session", "buildkitd", "registry"):
        source = TOP / "embedded/tools" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / "tools" / name)
    monkeypatch.setattr(module, "EMBEDDED", copy)
    return copy


def _add(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(path.read_text() + text)

    return change


def _replace(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("name", "change", "steps"),
    [
        ("tools/go.sum", _add("example.org/x v1.0.0 h1:x\n"), {"bin", "dev-bin", "protos"}),
        ("tools/exec/main.go", _add("// more\n"), {"bin"}),
        ("tools/session/main.go", _add("// more\n"), {"bin"}),
        ("tools/buildkitd/worker.go", _add("// more\n"), {"bin"}),
        ("tools/registry/main.go", _add("// more\n"), {"bin"}),
        ("tools/exec/main_test.go", _add("// more\n"), set[str]()),
        ("pyproject.toml", _replace('"rich==15.0.0"', '"rich==14.0.0"'), {"venv", "dev", "protos"}),
        ("pyproject.toml", _replace('"idna==3.20"', '"idna==3.10"'), {"venv", "dev", "protos"}),
        ("pyproject.toml", _replace("[dependency-groups]\ndev = [", "[dependency-groups]\ndev = ['x',"), {"dev"}),
        ("pyproject.toml", _replace("line-length = 120", "line-length = 100"), set[str]()),
    ],
)
def test_a_changed_input_moves_only_the_steps_made_of_it(
    checkout: Path, name: str, change: Callable[[Path], None], steps: set[str]
) -> None:
    before = {step: step_folder(step) for step in REVISION}
    change(checkout / name)
    pyproject.cache_clear()
    assert {step for step in REVISION if step_folder(step) != before[step]} == steps


def test_asking_for_names_creates_nothing(cache: Path) -> None:
    paths()
    assert not cache.exists()


def test_names_can_be_had_without_the_engines_environment() -> None:
    code = "import sys; from embedded.setup.paths import paths; paths(); print(*sys.modules)"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(TOP), "HOME": "/h"}, capture_output=True, text=True, check=True
    )
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    assert packages - set(sys.stdlib_module_names) <= {"__main__", "embedded"}


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/cozystack-talos"),
        ({"XDG_CACHE_HOME": "c", "HOME": "/h"}, "/h/.cache/cozystack-talos"),
        ({"HOME": "/h"}, "/h/.cache/cozystack-talos"),
    ],
)
def test_the_cache_folder_is_where_the_variables_say(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == folder


def test_no_home_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="neither HOME nor XDG_CACHE_HOME is set"):
        cache_folder()


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_machines_own_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = _program(paths().packages / "bin/runc")
    monkeypatch.setattr(module, "machine_program", lambda _: None)
    assert tool("runc") == unpacked
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    own = _program(tmp_path / "bin/runc")
    assert machine_program("runc") == own


def test_a_file_that_cannot_be_run_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    _program(tmp_path / "bin/mmdebstrap").chmod(0o644)
    found = machine_program("mmdebstrap")
    assert found is None or found.parent != tmp_path / "bin"


def test_network_plugins_count_only_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = module.PROGRAMS["bridge"]
    monkeypatch.setitem(module.PROGRAMS, "bridge", dataclasses.replace(row, folders=(str(tmp_path / "cni"),)))
    first = _program(tmp_path / "cni/bridge")
    assert machine_program("bridge") is None
    for name in row.beside:
        _program(tmp_path / "cni" / name)
    assert machine_program("bridge") == first


def test_prune_removes_what_other_versions_set_up_and_nothing_else() -> None:
    setup = paths().setup
    kept = [paths().venv, paths().bin, setup / "locks", setup / "logs", setup / "stamps", setup / "of-somebody"]
    gone = [setup / "venv-0000000000000000", setup / ".bin-0000000000000000.new"]
    for folder in (*kept, *gone):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 5000)
    assert [(one.what, one.freed) for one in remove_superseded(lambda _: 8192)] == [
        (f"set-up of another version, {folder.name}", 8192) for folder in sorted(gone)
    ]
    assert all(folder.exists() for folder in kept)
    assert not any(folder.exists() for folder in gone)
