"""`./daggerw --engine WORD`, where nothing is set up: run as a user does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from embedded.tests.setup.support import TOP


def upkeep(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOP / "daggerw", "--engine", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("word", ["status", "stop", "prune"])
def test_nothing_is_set_up_in_order_to_look_after_it(tmp_path: Path, cache: Path, word: str) -> None:
    done = upkeep(tmp_path, word)
    assert done.stdout == f"nothing is set up below {cache}: the first ./daggerw call does it\n"
    assert (done.stderr, done.returncode) == ("", 0)
    assert not cache.exists()


@pytest.mark.parametrize("words", [("lab", "list"), ("python", "-c", "1")])
def test_what_needs_the_set_up_says_how_it_is_made(tmp_path: Path, cache: Path, words: tuple[str, ...]) -> None:
    done = upkeep(tmp_path, *words)
    assert done.stderr == f"Error: nothing is set up below {cache}\n  run ./daggerw --engine setup --lab first\n"
    assert (done.stdout, done.returncode) == ("", 1)


@pytest.mark.parametrize("words", [(), ("halt",), ("stop", "--all"), ("--all", "prune")])
def test_a_wrong_word_is_answered_with_those_that_there_are(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = upkeep(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: daggerw --engine")
    assert "status|stop|prune|lab|setup|python" in done.stderr


def test_help_names_every_word(tmp_path: Path) -> None:
    done = upkeep(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f"    {word} " in done.stdout for word in ("status", "stop", "prune", "lab", "setup", "python"))


def test_setup_takes_its_own_options(tmp_path: Path) -> None:
    done = upkeep(tmp_path, "setup", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: daggerw --engine setup")
    assert "--dev" in done.stdout
