"""A cache that was moved or restored: what is whole is used, what is not is made anew, and a person is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.setup.contents import CONTENTS
from embedded.setup.moved import settle
from embedded.setup.paths import paths
from embedded.setup.steps import Job, Step, ensure
from embedded.tests.setup.support import Notes


def build(made: Path, _: Job) -> None:
    (made / "lib").mkdir()
    (made / "lib/module.py").write_text("x = 1\n")
    (made / "lib/other.py").symlink_to("module.py")
    (made / "program").write_text("#!/bin/sh\n")
    (made / "program").chmod(0o755)


@pytest.fixture
def moved(tmp_path: Path, cache: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a step's folder, move the cache, and return the folder in its new place."""
    ensure(Step("programs", paths().bin, build), notes)
    shutil.move(cache, tmp_path / "restored/cozystack-talos")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "restored"))
    paths.cache_clear()
    return paths().bin


def test_what_is_whole_is_used_and_said_once(moved: Path, cache: Path, notes: Notes) -> None:
    settle(notes)
    assert notes.notes == [f"this cache was made in {cache}, and now is {paths().cache}: what of it is whole is used"]
    assert (moved / "lib/other.py").read_text() == "x = 1\n"
    settle(notes)
    assert len(notes.notes) == 1


@pytest.mark.parametrize(
    ("harm", "lacks"),
    [
        (lambda folder: (folder / "program").chmod(0o644), "1 of 3 files (program)"),
        (lambda folder: (folder / "lib/module.py").write_text(""), "1 of 3 files (lib/module.py)"),
        (lambda folder: (folder / "lib/other.py").unlink(), "1 of 3 files (lib/other.py)"),
        (lambda folder: shutil.rmtree(folder / "lib"), "2 of 3 files (lib/"),
    ],
    ids=["not executable", "cut off", "a link lost", "a folder lost"],
)
def test_what_is_not_whole_is_made_anew(
    moved: Path, cache: Path, notes: Notes, harm: Callable[[Path], object], lacks: str
) -> None:
    harm(moved)
    settle(notes)
    assert not moved.exists()
    assert notes.notes[0].startswith(f"{moved.name} lacks {lacks}")
    assert notes.notes[0].endswith(f"which it had in {cache / 'setup' / moved.name}: it is made anew")


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"place": "/x", "files": {"a": 1}}', "\udcff", "[" * 100_000])
def test_a_note_that_cannot_be_read_is_no_proof(moved: Path, notes: Notes, note: str) -> None:
    (moved / CONTENTS).write_text(note, errors="surrogateescape")
    settle(notes)
    assert not moved.exists()


def test_where_it_was_made_nothing_is_looked_at(cache: Path, notes: Notes) -> None:
    folder = ensure(Step("programs", paths().bin, build), notes)
    (folder / "program").unlink()
    settle(notes)
    assert folder.exists()
    assert notes.notes == []
    assert set(json.loads((folder / CONTENTS).read_text())["files"]) == {"lib/module.py", "lib/other.py", "program"}


def test_what_an_earlier_version_left_is_used_as_it_is(moved: Path, notes: Notes) -> None:
    (moved / CONTENTS).unlink()
    settle(notes)
    assert moved.exists()
    assert notes.notes == []
