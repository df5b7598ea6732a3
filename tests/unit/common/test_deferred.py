"""Modules that are loaded when they are first used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import ci
from ci.common.deferred import deferred

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

#: A module that takes down that it is run.
HEAVY = """
import sys
sys.trial.append(__name__)
VALUE = 7
"""


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of this room's modules that were run: `heavy`, and `broken`, whose library is not there."""
    folder = tmp_path / "ci" / "trial"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""A room."""\n')
    (folder / "heavy.py").write_text(HEAVY)
    (folder / "broken.py").write_text("import no_such_library\n")
    monkeypatch.setattr(ci, "__path__", [*ci.__path__, str(tmp_path / "ci")])
    run: list[str] = []
    monkeypatch.setattr(sys, "trial", run, raising=False)
    yield run
    for name in [name for name in sys.modules if name.startswith("ci.trial")]:
        del sys.modules[name]
    if hasattr(ci, "trial"):
        delattr(ci, "trial")


def bring(name: str) -> ModuleType:
    return import_module(f"ci.trial.{name}")


def test_a_module_is_run_when_it_is_first_looked_into(trial: list[str]) -> None:
    with deferred():
        heavy = bring("heavy")
    assert trial == []
    assert heavy.VALUE == 7
    assert trial == ["ci.trial.heavy"]


def test_a_module_that_others_import_later_is_the_same_one_and_run_once(trial: list[str]) -> None:
    with deferred():
        heavy = bring("heavy")
    assert bring("heavy") is heavy
    assert [bring("heavy").VALUE, heavy.VALUE] == [7, 7]
    assert trial == ["ci.trial.heavy"]


def test_what_is_imported_afterwards_is_run_as_ever(trial: list[str]) -> None:
    finders = [*sys.meta_path]
    with deferred():
        pass
    assert sys.meta_path == finders
    bring("heavy")
    assert trial == ["ci.trial.heavy"]


def test_an_import_that_fails_leaves_the_finders_as_they_were(trial: list[str]) -> None:
    finders = [*sys.meta_path]
    with pytest.raises(ModuleNotFoundError, match=r"ci\.trial\.missing"), deferred():
        bring("missing")
    assert sys.meta_path == finders


def test_a_module_that_can_not_be_loaded_says_so_where_it_is_used(trial: list[str]) -> None:
    with deferred():
        broken = bring("broken")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        _ = broken.anything


def test_libraries_are_loaded_as_ever() -> None:
    sys.modules.pop("colorsys", None)
    with deferred():
        library = import_module("colorsys")
    assert type(library) is type(sys)
