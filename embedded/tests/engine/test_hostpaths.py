"""Where results may be written on the caller's machine, and what is said where they may not."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from embedded.engine import llb
from embedded.engine.api.context import Engine
from embedded.engine.api.file import export
from embedded.engine.api.host import host_file, host_folder
from embedded.engine.api.hostpaths import file_place, make_host_folder
from embedded.engine.api.values import File
from embedded.engine.buildkit import FileStat, SolveError
from embedded.engine.errors import EngineError


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("other"))
    path.symlink_to("other")


class Fakes:
    """Stands in for BuildKit and for the session's helper: writes a file, or fails with BuildKit's words."""

    end = ""

    def __init__(self, words: str = "") -> None:
        self.words = words
        self.folder = Path()

    async def export(self, tree: llb.Output, exporter: str, attrs: dict[str, str]) -> None:
        for part in ("." + "vmlinuz" + ".part", "." + "real" + ".part"):
            (self.folder / part).write_text("kernel")
        if self.words:
            raise SolveError(self.words)

    async def solve(self, tree: llb.Output) -> str:
        return "a reference"

    async def stat(self, reference: str, path: str) -> FileStat:
        return FileStat(path, 0o644, 6, "")

    @asynccontextmanager
    async def target(self, *, folder: Path) -> AsyncGenerator[None]:
        self.folder = folder
        yield


def engine_of(fakes: Fakes, folder: Path) -> Engine:
    return Engine(cast("Any", fakes), cast("Any", fakes), "linux/amd64", folder, folder / "scratch", llb.SCRATCH)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name has 108 bytes at the most


@pytest.mark.parametrize(("make", "kind"), [(make_fifo, "FIFO"), (make_socket, "socket"), (make_link_to_fifo, "FIFO")])
async def test_a_file_replaces_nothing_but_a_file(make: Callable[[Path], None], kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    make(place)
    before = place.lstat()
    with pytest.raises(EngineError) as caught:
        await export(File(llb.SCRATCH, "/vmlinuz"), engine_of(Fakes(), tmp_path), "place")
    assert str(caught.value) == f"can't write the file vmlinuz to {place}: it is a {kind}, not a file"
    assert place.lstat() == before


def test_a_device_is_refused_by_its_name() -> None:
    with pytest.raises(EngineError, match="can't write the file x to /dev/null: it is a device, not a file"):
        file_place("the file x", Path("/dev/null"))  # only looked at: nothing is written


async def test_a_link_is_followed_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    assert await export(File(llb.SCRATCH, "/vmlinuz"), engine_of(Fakes(), tmp_path), "link") == f"{tmp_path}/link"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "kernel"


async def test_a_write_error_names_the_place_and_leaves_nothing(tmp_path: Path) -> None:
    fakes = Fakes("error from receiver: write .vmlinuz.part: no space left on device")
    with pytest.raises(EngineError) as caught:
        await export(File(llb.SCRATCH, "/vmlinuz"), engine_of(fakes, tmp_path), "vmlinuz")
    assert caught.value.message == f"can't write to {tmp_path}: write vmlinuz: no space left on device"
    assert "cache" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if "vmlinuz" in path.name] == []


def test_a_folder_goes_where_a_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dead").symlink_to("nowhere")
    for name, cause in {
        "file": "it is a file, not a folder",
        "file/below/it": f"{tmp_path}/file is a file, not a folder",
        "fifo": "it is a FIFO, not a folder",
        "dead": "it is a link that leads nowhere, not a folder",
    }.items():
        with pytest.raises(EngineError) as caught:
            make_host_folder(tmp_path / name)
        assert str(caught.value) == f"can't write to {tmp_path / name}: {cause}"


def test_what_is_read_is_called_what_it_is(tmp_path: Path) -> None:
    engine = engine_of(Fakes(), tmp_path)
    os.mkfifo(tmp_path / "fifo")
    for read, path, said in (
        (host_file, "/dev/null", "/dev/null is a device, not a file"),
        (host_file, "fifo", "fifo is a FIFO, not a file"),
        (host_file, ".", ". is a folder, not a file"),
        (host_folder, "/dev/null", "/dev/null is a device, not a folder"),
    ):
        with pytest.raises(EngineError) as caught:
            read(engine, path)
        assert str(caught.value) == said
