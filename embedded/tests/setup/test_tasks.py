"""Set-up's steps run at the same time where they can, and end together."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from embedded.setup import process, tasks
from embedded.setup.errors import SetupError
from embedded.setup.paths import dev_marker, paths, step_folder
from embedded.setup.programs import DEV_PROGRAMS, GO_PROGRAMS
from embedded.setup.progress import LiveReporter, PlainReporter
from embedded.setup.stages import stages
from embedded.setup.tasks import Task


def test_what_does_not_depend_on_each_other_runs_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    tasks.run([Task("a", meeting.wait), Task("b", meeting.wait)])


def test_a_task_begins_when_those_before_it_are_done() -> None:
    done: list[str] = []

    def slow() -> None:
        time.sleep(0.1)
        done.append("first")

    tasks.run([Task("second", lambda: done.append("second"), ["first", "left out"]), Task("first", slow)])
    assert done == ["first", "second"]


def test_the_first_failure_ends_what_runs_and_is_what_is_told(tmp_path: Path) -> None:
    def fail() -> None:
        while not (tmp_path / "runs").exists():
            time.sleep(0.01)
        raise SetupError("no network")

    def sleep() -> None:
        process.run(["sh", "-c", f"touch {tmp_path}/runs; sleep 60"], log=tmp_path / "log")

    later: list[str] = []
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"^no network$"):
        tasks.run([Task("sleep", sleep), Task("fail", fail), Task("later", lambda: later.append("x"), ["sleep"])])
    assert time.monotonic() - began < 10
    assert later == []


def test_a_download_of_which_nothing_is_heard_ends_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.allow()
    monkeypatch.setenv("COZYSTACK_TALOS_NETWORK_SECONDS", "0.1")
    downloads = re.compile("go: downloading ")
    begin = time.monotonic()
    script = "echo 'go: downloading example.org/x v1.0.0'; sleep 60"
    with pytest.raises(SetupError) as caught:
        process.run(["sh", "-c", script], log=tmp_path / "log", downloads=downloads)
    assert time.monotonic() - begin < 15
    assert caught.value.message == "sh heard nothing for 0 s (go: downloading example.org/x v1.0.0)"
    assert "set COZYSTACK_TALOS_NETWORK_SECONDS to wait longer" in caught.value.hint


def test_what_compiles_may_be_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process.allow()
    monkeypatch.setenv("COZYSTACK_TALOS_NETWORK_SECONDS", "0.1")
    script = "echo 'go: downloading example.org/x v1.0.0'; echo example.org/x; sleep 1; echo done"
    downloads = re.compile("go: downloading ")
    assert process.run(["sh", "-c", script], log=tmp_path / "log", downloads=downloads).endswith("done\n")


def test_nothing_is_started_once_all_is_to_end(tmp_path: Path) -> None:
    process.stop()
    try:
        with pytest.raises(SetupError, match="it was ended, as something else failed"):
            process.run(["touch", tmp_path / "file"], log=tmp_path / "log")
        assert not (tmp_path / "file").exists()
    finally:
        process.allow()


def test_the_processor_time_of_a_program_and_its_children_is_told(tmp_path: Path) -> None:
    took: list[float] = []
    process.run(
        ["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; (exit 3)"],
        log=tmp_path / "log",
        check=False,
        on_end=took.append,
    )
    assert 0.02 < took[0] < 30


def _names(**options: bool) -> dict[str, set[str]]:
    given = {"lab": False, "dev": False, "images": False} | options
    return {task.name: set(task.after) for task in stages(PlainReporter(), **given)}


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has a Go, and lacks all that Debian packages bring."""
    monkeypatch.setattr("embedded.setup.debian.machine_program", lambda _: None)
    monkeypatch.setattr("embedded.setup.debian.available", lambda: True)
    monkeypatch.setattr("embedded.setup.golang.machine_go", lambda _: Path("/go/bin/go"))


@pytest.mark.usefixtures("lacking")
def test_compilation_waits_for_neither_python_nor_debian() -> None:
    assert _names() == {
        "uv": set(),
        "venv": {"uv"},
        "packages": set(),
        "protos": {"go", "venv"},
        "programs": {"go"},
    }


@pytest.mark.usefixtures("lacking")
def test_the_labs_images_that_need_no_compiler_are_made_while_buildkit_compiles() -> None:
    names = _names(lab=True, images=True)
    assert names["images"] == {"packages"}
    assert names["rest"] == {"images", "programs"}


@pytest.mark.usefixtures("lacking")
def test_without_the_lab_nothing_is_made_of_it() -> None:
    assert not {"images", "rest"} & _names().keys()


def test_a_go_is_fetched_before_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded.setup.golang.machine_go", lambda _: None)
    assert "uv" in _names()["go"]


def test_what_stands_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded.setup.debian.machine_program", lambda _: Path("/usr/bin/it"))
    for folder in (paths().protos, paths().bin, step_folder("dev-bin"), paths().venv / "bin"):
        folder.mkdir(parents=True)
    (paths().venv / "bin/python").touch(mode=0o755)
    for folder, names in ((paths().bin, GO_PROGRAMS), (step_folder("dev-bin"), DEV_PROGRAMS)):
        for name in names:
            (folder / name).touch(mode=0o755)
    assert _names() == {}
    assert _names(dev=True).keys() == {"dev"}
    dev_marker().touch()
    assert _names(dev=True) == {}


def test_programs_that_cannot_be_run_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded.setup.debian.machine_program", lambda _: Path("/usr/bin/it"))
    for folder in (paths().protos, paths().bin, paths().venv / "bin"):
        folder.mkdir(parents=True)
    (paths().venv / "bin/python").touch(mode=0o755)
    for name in GO_PROGRAMS:
        (paths().bin / name).touch(mode=0o644)
    assert "programs" in _names()


def test_plain_lines_say_what_is_done_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    report = PlainReporter()
    report.total = 2
    with report.step("one thing"):
        pass
    assert capsys.readouterr().err.splitlines() == [
        "daggerw: set-up: one thing …",
        "daggerw: set-up: one thing: done in 0 s (1 of 2)",
    ]


def test_live_lines_have_a_clock_for_each_step_and_fit_the_terminal() -> None:
    report = LiveReporter()
    report.total = 3
    with report.step("BuildKit") as detail, report.step("Python packages"):
        detail("github.com/moby/buildkit/" + "x" * 200)
        lines = report.lines(60)
    assert [line[2:].split(" github")[0] for line in lines] == [
        "set-up: BuildKit 0:00",
        "set-up: Python packages 0:00 ",
        "set-up: 0 of 3 steps done, 0:00",
    ]
    assert max(map(len, lines)) < 60


LONG_TITLE = f"Debian packages for {', '.join(f'program-{number}' for number in range(30))}"
HOSTILE = "x\x1b[2J\x1b]0;t\x07\u202e\r\ndaggerw: all is done\u2028" + "y" * 100_000


@pytest.mark.parametrize("width", [80, 60, 200])
@pytest.mark.parametrize("title", ["BuildKit", LONG_TITLE, HOSTILE])
def test_every_line_of_set_up_fits_the_width_with_its_clock_and_obeys_nothing(
    width: int, title: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    live, plain = LiveReporter(), PlainReporter()
    live.total = plain.total = 12
    with live.step(title) as detail, plain.step(title):
        detail(HOSTILE)
        rows = live.lines(width)
    live.note("waiting for \x1b[2J\u202e" + "a word " * 30)
    said = capsys.readouterr().err.replace("\x1b[32m✓\x1b[0m", "✓")
    assert all(row.isprintable() and len(row) < width for row in rows)
    assert " 0:00 " in rows[0]
    assert "x\\x1b[2J" in rows[0] or width < 80
    lines = said.splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= width
    assert lines[0].endswith(" …")
    assert lines[1].endswith(": done in 0 s (1 of 12)")
    assert lines[2].endswith(" (0:00) (1 of 12)")


def test_live_lines_are_gone_in_the_end_and_what_was_done_stays(capsys: pytest.CaptureFixture[str]) -> None:
    report = LiveReporter()
    with report.live():
        with report.step("BuildKit"):
            time.sleep(0.6)
        report.note("done")
    said = capsys.readouterr().err
    assert "✓\x1b[0m set-up: BuildKit (0:00)\n" in said
    # Each time that live lines are drawn, they are erased before anything else is written.
    assert said.count("\x1b[J") >= 1
    assert "set-up: 0:00" not in said.rpartition("\x1b[J")[2]
    assert said.endswith("daggerw: set-up: done\n")
