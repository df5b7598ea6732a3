"""`./daggerw --engine status|stop|prune`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from embedded.engine.life import commands, lease
from embedded.tests.life.harness import Engine


def console() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("amount", "written"),
    [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (7_200_000, "7 MB"), (12_340_000_000, "12.3 GB")],
)
def test_sizes_are_written_for_people(amount: int, written: str) -> None:
    assert commands.size(amount) == written


def test_used_counts_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"x" * 100_000)
    once = commands.used(tmp_path)
    (tmp_path / "a/link").hardlink_to(tmp_path / "a/file")
    assert commands.used(tmp_path) == once >= 100_000


def test_used_of_a_missing_folder_is_nothing(tmp_path: Path) -> None:
    assert commands.used(tmp_path / "missing") == 0


def test_an_unknown_command_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main("halt") == 1
    assert capsys.readouterr().err == "Error: unknown command 'halt': choose one of status, stop, prune\n"


@pytest.mark.engine
def test_status_stop_and_prune(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "paths", lambda: engine.paths)
    before = console()
    commands.status(before)
    assert text(before).count("does not run") == 2
    with lease(engine.paths, "real"):
        engine.output(engine.build("bash", "-c", "for i in {1..50000}; do echo 0123456789012345; done > /large"))
        running = console()
        commands.status(running)
        assert str(engine.pid("daemon")) in text(running)
        assert str(engine.place().socket) in text(running)
        assert "10 min 0 s after the last client" in text(running)
    pruned = console()
    commands.prune(pruned)
    assert "real: freed" in text(pruned)
    assert "real: freed 0 B" not in text(pruned)
    with lease(engine.paths, "real"):
        again = engine.output(
            engine.build("bash", "-c", "for i in {1..50000}; do echo 0123456789012345; done > /large")
        )
        assert "CACHED" not in again.split("] local://rootfs")[-1]
    stopped = console()
    commands.stop_all(stopped)
    assert text(stopped) == "stopped: real\n"
    cold = console()
    commands.prune(cold)
    assert not engine.place().root.exists()
    nothing = console()
    commands.stop_all(nothing)
    assert text(nothing) == "nothing was running\n"


@pytest.mark.engine
def test_prune_all_removes_the_whole_folder(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "paths", lambda: engine.paths)
    with lease(engine.paths, "real"):
        pass
    (engine.paths.cache / "other").mkdir()
    commands.remove_everything(console())
    assert not engine.paths.cache.exists()
