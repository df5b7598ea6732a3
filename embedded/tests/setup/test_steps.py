"""A step makes its folder once, whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.setup.contents import CONTENTS
from embedded.setup.errors import SetupError
from embedded.setup.paths import paths
from embedded.setup.steps import Job, Step, ensure, locked, locked_if_free
from embedded.tests.setup.support import Notes, Start, alive, eventually

# Makes a folder by a program that takes its time, and tells the test where it is.
DRIVER = """
import sys
from pathlib import Path
from embedded.setup.__main__ import guarded
from embedded.setup.progress import PlainReporter
from embedded.setup.steps import Step, ensure

def build(folder, job):
    (folder / "half").touch()
    job.run("sh", "-c", sys.argv[1])
    (folder / "half").rename(folder / "whole")

sys.exit(guarded(lambda: ensure(Step("the thing", Path(sys.argv[2]) / "thing-1", build), PlainReporter())))
"""


@pytest.fixture
def folder(cache: Path) -> Path:
    return cache / "setup"


def test_what_stands_is_not_made_again(folder: Path, notes: Notes) -> None:
    def build(made: Path, _: Job) -> None:
        (made / "file").write_text("once")

    step = Step("thing", folder / "thing-1", build)
    assert (ensure(step, notes) / "file").read_text() == "once"
    ensure(step, notes)
    assert notes.steps == ["thing"]


def test_what_is_no_longer_whole_is_made_again(folder: Path, notes: Notes) -> None:
    def build(made: Path, _: Job) -> None:
        (made / "python").touch()

    step = Step("thing", folder / "thing-1", build, lambda made: (made / "python").exists())
    (ensure(step, notes) / "python").unlink()
    (step.folder / "of old").touch()
    ensure(step, notes)
    assert sorted(path.name for path in step.folder.iterdir()) == [CONTENTS, "python"]


def test_a_failing_step_leaves_nothing_but_its_log(folder: Path, notes: Notes) -> None:
    def build(made: Path, job: Job) -> None:
        (made / "half").touch()
        job.run("sh", "-c", "echo the cause >&2; exit 3")

    with pytest.raises(SetupError) as caught:
        ensure(Step("thing", folder / "thing-1", build), notes)
    log = folder / "logs/thing-1.log"
    assert str(caught.value) == f"sh failed with exit code 3\n  | the cause\n  log: {log}"
    assert log.read_text().splitlines()[-2:] == ["the cause", "[exit code 3]"]
    assert {path.name for path in folder.iterdir()} == {"locks", "logs"}


def test_two_at_once_make_it_once_and_the_second_says_that_it_waits(start: Start, folder: Path, tmp_path: Path) -> None:
    command = f"echo x >>{tmp_path}/built; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    first = start("-c", DRIVER, command, str(folder))
    eventually((tmp_path / "built").exists)
    second = start("-c", DRIVER, command, str(folder))
    assert second.stderr is not None
    assert second.stderr.readline() == "daggerw: set-up: the thing: another set-up is at it; waiting for it\n"
    (tmp_path / "go").touch()
    assert (first.wait(15), second.wait(15)) == (0, 0)
    assert (tmp_path / "built").read_text() == "x\n"
    assert sorted(path.name for path in (folder / "thing-1").iterdir()) == [CONTENTS, "whole"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_set_up_leaves_no_process_and_can_be_resumed(
    start: Start, folder: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pids = tmp_path / "pids"
    process = start("-c", DRIVER, f"sleep 60 & echo $$ $! >{pids}.new; mv {pids}.new {pids}; wait", str(folder))
    eventually(pids.exists)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=15)
    assert process.returncode == code
    assert "Traceback" not in stderr
    eventually(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()), 2)
    assert {path.name for path in folder.iterdir()} == {"locks", "logs"}
    assert start("-c", DRIVER, "true", str(folder)).wait(15) == 0
    assert (folder / "thing-1/whole").exists()


def test_a_killed_set_up_ends_its_program_and_can_be_resumed(start: Start, folder: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    process = start("-c", DRIVER, f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 60", str(folder))
    eventually(pid.exists)
    process.kill()
    process.wait()
    eventually(lambda: not alive(int(pid.read_text())))
    assert (folder / ".thing-1.new/half").exists()
    assert start("-c", DRIVER, "true", str(folder)).wait(15) == 0
    assert sorted(path.name for path in (folder / "thing-1").iterdir()) == [CONTENTS, "whole"]
    assert not (folder / ".thing-1.new").exists()


def test_a_lock_in_use_is_told_apart_from_a_free_one(notes: Notes) -> None:
    def waiting() -> None:
        raise AssertionError

    with locked_if_free("caches") as free:
        assert free
    share = lambda: locked("caches", waiting, shared=True)  # noqa: E731
    with share(), share(), locked_if_free("caches") as free:
        assert not free


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 1 MB, and the cache folder on it."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False).returncode
    ):
        pytest.skip("mounting a small disk takes root")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    paths.cache_clear()
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("by_program", [False, True])
def test_a_full_disk_is_told_with_the_way_out(small_disk: Path, notes: Notes, by_program: bool) -> None:
    def build(made: Path, job: Job) -> None:
        if by_program:
            job.run("dd", "if=/dev/zero", f"of={made / 'big'}", "bs=64k", "count=64")
        else:
            (made / "big").write_bytes(bytes(4_000_000))

    step = Step("thing", paths().setup / "thing-1", build)
    with pytest.raises(SetupError) as caught:
        ensure(step, notes)
    assert os.strerror(errno.ENOSPC) in str(caught.value)
    assert "the disk is full: free some space, or set XDG_CACHE_HOME" in caught.value.hint
    assert not (paths().setup / ".thing-1.new").exists()


def test_set_up_asks_for_room_before_it_begins(small_disk: Path, start: Start) -> None:
    process = start("-m", "embedded.setup")
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"set-up needs 3 GB of free disk below {small_disk}/cozystack-talos, there is 0.0 GB" in stderr
    assert "set XDG_CACHE_HOME" in stderr
    assert not list(small_disk.iterdir())


def test_a_cache_folder_that_is_a_file_is_told(cache: Path, notes: Notes) -> None:
    cache.parent.mkdir()
    cache.touch()
    with pytest.raises(SetupError, match=r"Not a directory.*cozystack-talos"):
        ensure(Step("thing", paths().setup / "thing-1", lambda _, __: None), notes)
