"""`export --wipe` empties what an earlier export wrote, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from embedded.engine.api import directory
from embedded.engine.api.hostpaths import FROM_COMMAND_LINE, note_export, refuse_to_wipe, written
from embedded.engine.errors import EngineError


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def filled(folder: Path, name: str = "mine") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("kept")
    return folder


def refused(target: Path, work: Path, exports: Path) -> str:
    with pytest.raises(EngineError) as caught:
        refuse_to_wipe(target, work, exports)
    assert "leave out --wipe" in caught.value.hint
    return caught.value.message


def test_a_folder_that_nobody_exported_to_is_kept(tmp_path: Path, work: Path) -> None:
    target = filled(tmp_path / "documents")
    said = refused(target, work, tmp_path / "exports")
    assert said == f"--wipe would delete all of {target}, and no earlier export wrote that folder"
    assert refused(target, work, tmp_path / "documents") == said, "whatever the cache is"


def test_an_earlier_output_may_be_emptied(tmp_path: Path, work: Path) -> None:
    target = filled(tmp_path / "out")
    note_export(target, tmp_path / "exports")
    refuse_to_wipe(target, work, tmp_path / "exports")
    (tmp_path / "link").symlink_to(target)
    refuse_to_wipe(tmp_path / "link", work, tmp_path / "exports")


def test_another_folder_in_its_place_was_not_written(tmp_path: Path, work: Path) -> None:
    target = filled(tmp_path / "out")
    note_export(target, tmp_path / "exports")
    target.rename(tmp_path / "moved")
    filled(target)
    assert "no earlier export wrote that folder" in refused(target, work, tmp_path / "exports")
    assert "no earlier export wrote that folder" in refused(tmp_path / "moved", work, tmp_path / "exports")


@pytest.mark.parametrize("where", [".", "work", "work/.."])
def test_the_folder_of_the_call_is_never_emptied(tmp_path: Path, work: Path, where: str) -> None:
    filled(work)
    note_export(tmp_path / where, tmp_path / "exports")
    assert "which holds the folder of this call" in refused(tmp_path / where, work, tmp_path / "exports")


@pytest.mark.parametrize("name", [".git", "dagger.json"])
def test_a_checkout_is_never_emptied(tmp_path: Path, work: Path, name: str) -> None:
    target = filled(tmp_path / "checkout", name)
    note_export(target, tmp_path / "exports")
    assert f"which holds {name}" in refused(target, work, tmp_path / "exports")


def test_the_home_folder_is_never_emptied(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = filled(tmp_path / "home")
    monkeypatch.setenv("HOME", str(target))
    note_export(target, tmp_path / "exports")
    assert "which is your home folder" in refused(target, work, tmp_path / "exports")


def test_what_holds_the_home_folder_or_the_cache_is_never_emptied(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = filled(tmp_path / "all")
    (above / "home" / "me").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(above / "home/me"))
    note_export(above, tmp_path / "exports")
    assert "which holds your home folder" in refused(above, work, tmp_path / "exports")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    note_export(above, above / "cache/exports")
    assert "which holds the engine's cache" in refused(above, work, above / "cache/exports")
    assert "which holds" in refused(Path("/"), work, tmp_path / "exports")


class Written:
    """A directory's export with what it does to the host only."""

    def __init__(self, exports: Path) -> None:
        self.exports = exports
        self.workdir = exports.parent / "work"

    def host_path(self, path: str) -> Path:
        return Path(path)


async def test_an_export_next_to_what_others_left_does_not_make_it_its_own(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(_engine: object, _source: object, target: Path, *, wipe: bool = False) -> None:
        filled(target, "made")

    monkeypatch.setattr(directory, "export_directory", write)
    engine: Any = Written(tmp_path / "exports")
    documents = filled(tmp_path / "documents")
    for _ in range(2):
        await directory.export(directory.Directory(), engine, str(documents))
    assert "no earlier export wrote that folder" in refused(documents, work, engine.exports)
    asked = FROM_COMMAND_LINE.set(True)
    with pytest.raises(EngineError, match="no earlier export wrote"):
        await directory.export(directory.Directory(), engine, str(documents), wipe=True)
    FROM_COMMAND_LINE.reset(asked)
    # A program gets what Dagger's API does (tests/engine/questions_files.py).
    await directory.export(directory.Directory(), engine, str(filled(tmp_path / "programs")), wipe=True)
    for _ in range(2):
        await directory.export(directory.Directory(), engine, str(tmp_path / "new"))
    refuse_to_wipe(tmp_path / "new", work, engine.exports)


def test_what_is_empty_or_not_there_is_no_loss(tmp_path: Path, work: Path) -> None:
    refuse_to_wipe(tmp_path / "new", work, None)
    (tmp_path / "empty").mkdir()
    refuse_to_wipe(tmp_path / "empty", work, None)
    refuse_to_wipe(work, work, None)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    note_export(filled(tmp_path / "out"), Path("/proc/none"))


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EROFS, True), (errno.EPERM, True), (errno.EACCES, True), (errno.EBUSY, False), (errno.ENOSPC, False)],
)
def test_what_the_file_system_refuses_names_the_place(tmp_path: Path, number: int, hint: bool) -> None:
    with pytest.raises(EngineError) as caught, written(tmp_path / "out"):
        raise OSError(number, os.strerror(number), "/somewhere/.out.part")
    assert caught.value.message == f"can't write to {tmp_path}/out: {os.strerror(number)}"
    assert bool(caught.value.hint) == hint
