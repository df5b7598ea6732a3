"""Exports that can't be written, through the whole stack."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.tests.engine.calls import IMAGE, Calls

pytestmark = pytest.mark.engine

FILE = ["core", "directory", "with-new-file", "--path=f", "--contents=x", "file", "--path=f"]
IN_IMAGE = ["core", "container", "from", "--address", IMAGE]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no small disk can be had")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("words", [[*FILE, "export", "--path"], [*FILE, "-o"]])
def test_a_fifo_is_not_replaced_by_a_file(calls: Calls, words: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    said = calls.refused("--lab", "-s", *words, str(tmp_path / "fifo"))
    assert said == f"Error: can't write the file f to {tmp_path}/fifo: it is a FIFO, not a file"
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_folder_does_not_replace_a_file(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    said = calls.refused("--lab", "-s", "core", "directory", "export", "--path", str(tmp_path / "file"))
    assert said == f"Error: can't write to {tmp_path}/file: it is a file, not a folder"
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "words",
    [["directory", "--path=/usr/lib", "export"], ["file", "--path=/usr/bin/bash", "export"], ["export"]],
    ids=["directory", "file", "container"],
)
def test_a_full_disk_is_told_and_holds_no_cut_off_file(calls: Calls, words: list[str], small_disk: Path) -> None:
    target = small_disk if "directory" in words else small_disk / "out"
    said = calls.refused("--lab", "-s", *IN_IMAGE, *words, "--path", str(target))
    assert said.startswith(f"Error: can't write to {small_disk}")
    assert "no space left on device" in said.lower()
    assert ".part" not in said
    assert "cache" not in said
    assert [path for path in small_disk.rglob("*") if path.is_file() and not path.is_symlink()] == []


IMAGER = "ghcr.io/siderolabs/imager:v1.13.6"
KERNEL = ["--args=/bin/imager,metal,--arch,amd64,--output-kind,kernel"]


@pytest.mark.parametrize(
    ("image", "words", "said_by"),
    [
        (IMAGE, ["--args=sh,-c,head -c 9000000 /dev/zero >/out/f"], "no space left on device"),
        (IMAGER, KERNEL, "no space left on device"),
    ],
    ids=["a program", "the imager"],
)
def test_a_disk_that_is_full_inside_a_container_is_told_with_the_way_out(
    calls: Calls, image: str, words: list[str], said_by: str
) -> None:
    small = ["with-mounted-temp", "--path=/out", "--size=1048576"]
    code, _, err = calls.run(
        "--lab", "-s", "core", "container", "from", "--address", image, *small, "with-exec", *words, "sync"
    )
    assert code != 0
    assert said_by in err.lower()
    assert "No space was left where the command wrote. If that was the disk of the engine's cache, which has " in err
    assert "`./daggerw --engine prune`" in err
