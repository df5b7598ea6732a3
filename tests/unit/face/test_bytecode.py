"""The build hook that compiles the module where Dagger's Python runtime installs it."""

from __future__ import annotations

import runpy
import sys
import tomllib
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TOP = Path(__file__).parents[3]


class BuildHook:
    """Hatch's base of build hooks, as far as this one needs it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a module in place, with an environment; returns which of its files were compiled."""
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    vars(interface)["BuildHookInterface"] = BuildHook
    name = ""
    for part in interface.__name__.split("."):
        name = f"{name}.{part}".lstrip(".")
        monkeypatch.setitem(sys.modules, name, interface if name == interface.__name__ else ModuleType(name))
    files = [
        tmp_path / name for name in ("ci/a.py", "ci/room/b.py", "ci/broken.py", "sdk/src/dagger/gen.py", "tests/c.py")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = (\n" if file.stem == "broken" else "x = 1\n")

    def install(**environment: str) -> list[str]:
        monkeypatch.delenv("DAGGER_MODULE", raising=False)
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        hook = runpy.run_path(str(TOP / "hatch_build.py"))["Bytecode"](tmp_path)
        hook.initialize("editable", {})
        return [str(one.relative_to(tmp_path)) for one in files if Path(cache_from_source(str(one))).exists()]

    return install


def test_the_sdk_and_the_module_are_compiled_where_dagger_installs_them(compiled: Any) -> None:
    assert compiled(DAGGER_MODULE="cozystack-talos") == ["ci/a.py", "ci/room/b.py", "sdk/src/dagger/gen.py"]


def test_nothing_is_compiled_where_anybody_else_does(compiled: Any) -> None:
    assert compiled() == []


def test_the_hook_is_switched_on_and_reaches_the_module() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["hooks"] == {"custom": {}}
    assert '"hatch_build.py"' in (TOP / "dagger.json").read_text()
