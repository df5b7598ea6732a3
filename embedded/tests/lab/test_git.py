from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from embedded.lab import git

DATE = 1787125936


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    # Git sorts the folder behind the file here, as `b/` is behind `b.txt`.
    (folder / "b").mkdir(parents=True)
    (folder / "b/one").write_text("1\n")
    (folder / "b.txt").write_text("2\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    return folder


def test_commit_follows_from_files_message_and_date(repository: Path, tmp_path: Path) -> None:
    first = git.commit(repository, message="one", date=DATE, tag="v1")
    again = tmp_path / "again"
    shutil.copytree(repository, again, ignore=shutil.ignore_patterns(".git"))
    assert git.commit(again, message="one", date=DATE, tag="v2") == first
    assert git.commit(again, message="one", date=DATE + 1, tag="v2") != first


@pytest.mark.skipif(not shutil.which("git"), reason="this machine has no git")
def test_git_reads_it(repository: Path, tmp_path: Path) -> None:
    made = git.commit(repository, message="STAND-IN for v1.6.2", date=DATE, tag="v1.6.2")

    def ask(*arguments: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(repository), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert ask("fsck", "--strict") == ""
    assert ask("rev-parse", "HEAD", "v1.6.2").split() == [made, made]
    assert ask("log", "--format=%s %ct") == f"STAND-IN for v1.6.2 {DATE}"
    clone = tmp_path / "clone"
    ask("clone", "--quiet", "--branch", "v1.6.2", "--depth", "1", f"file://{repository}", str(clone))
    assert (clone / "b/one").read_text() == "1\n"
    assert (clone / "run").stat().st_mode & 0o111
