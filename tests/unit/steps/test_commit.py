"""Which commit a checkout is at, from the parts of `.git` that the module is given."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from dulwich import porcelain

from ci.steps.commit import describe, main

if TYPE_CHECKING:
    from pathlib import Path

DATE = 1787125936
WHO = b"A <a@example.com>"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of two commits."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    porcelain.init(str(folder))
    for number in (1, 2):
        (folder / "file").write_text(str(number))
        porcelain.add(str(folder), [str(folder / "file")])
        porcelain.commit(
            str(folder), message=b"m", author=WHO, committer=WHO, sign=False,
            commit_timestamp=DATE + number, author_timestamp=5,
        )  # fmt: skip
    return folder


def head(folder: Path) -> str:
    ref = (folder / ".git/HEAD").read_text().removeprefix("ref: ").strip()
    return (folder / ".git" / ref).read_text().strip()


def as_given(folder: Path) -> Path:
    """The parts of `.git` that reach the module."""
    kept = {"HEAD", "refs", "packed-refs", "shallow", "objects"}
    for path in (folder / ".git").iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def test_commit_and_the_committers_date_are_told(checkout: Path) -> None:
    assert describe(as_given(checkout)) == {"commit": head(checkout), "date": DATE + 2}


def test_a_detached_head_is_followed(checkout: Path) -> None:
    commit = head(checkout)
    (checkout / ".git/HEAD").write_text(commit + "\n")
    assert describe(as_given(checkout)) == {"commit": commit, "date": DATE + 2}


def test_packed_refs_and_objects_are_read(checkout: Path) -> None:
    commit = head(checkout)
    porcelain.repack(str(checkout))
    ref = (checkout / ".git/HEAD").read_text().removeprefix("ref: ").strip()
    (checkout / ".git/packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{commit} {ref}\n")
    (checkout / ".git" / ref).unlink()
    assert not (checkout / f".git/objects/{commit[:2]}/{commit[2:]}").exists()
    assert describe(as_given(checkout)) == {"commit": commit, "date": DATE + 2}


def test_a_shallow_clone_tells_its_commit(checkout: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    porcelain.clone(str(checkout), str(clone), depth=1, errstream=porcelain.NoneStream())
    (clone / ".git/shallow").write_text(head(checkout) + "\n")
    assert describe(as_given(clone)) == {"commit": head(checkout), "date": DATE + 2}


def test_a_commit_whose_object_is_elsewhere_is_still_named(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git/objects")
    (checkout / ".git/objects").mkdir()
    assert describe(as_given(checkout)) == {"commit": head(checkout)}


def test_a_repository_without_a_commit_tells_nothing(tmp_path: Path) -> None:
    porcelain.init(str(tmp_path))
    assert describe(as_given(tmp_path)) == {}


def test_a_folder_that_is_no_repository_tells_nothing(tmp_path: Path) -> None:
    assert describe(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "nonsense\n", "ref: ../../etc/passwd\n", "ref: refs/heads/none\n"])
def test_a_broken_head_tells_nothing(checkout: Path, text: str) -> None:
    (checkout / ".git/HEAD").write_text(text)
    assert describe(as_given(checkout)) == {}


def test_a_broken_object_leaves_the_commits_name(checkout: Path) -> None:
    commit = head(checkout)
    path = checkout / f".git/objects/{commit[:2]}/{commit[2:]}"
    path.chmod(0o644)
    path.write_bytes(b"no zlib")
    assert describe(as_given(checkout)) == {"commit": commit}


def test_it_prints_json(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(checkout)]) == 0
    assert json.loads(capsys.readouterr().out) == {"commit": head(checkout), "date": DATE + 2}
