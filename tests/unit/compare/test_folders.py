"""Two folders byte by byte, and the command line of `ci.compare`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from ci.compare.folders import compare_folders
from ci.steps.compare import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, mtime: int = 1700000000, **more: bytes) -> Path:
    (folder / "boot").mkdir(parents=True)
    (folder / "boot/vmlinuz").write_bytes(samples.kernel())
    archive = samples.cpio([File("init", samples.elf())], mtime=mtime)
    (folder / "boot/initramfs.xz").write_bytes(samples.zstd(archive))
    for name, data in more.items():
        (folder / name).write_bytes(data)
    return folder


def test_equal_folders_are_listed_with_their_digests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tmp_path / "a")), str(write(tmp_path / "b"))]) == 0
    kernel = samples.kernel()
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "same", "boot/vmlinuz", *f"{len(kernel) / 1024:.1f} KiB sha256 {samples.sha(kernel)}".split(),
    ]  # fmt: skip


def test_every_file_that_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = write(tmp_path / "a", x=b"1\n"), write(tmp_path / "b", mtime=5, x=b"2\n", y=b"")
    assert main([str(one), str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("DIFFER")] == [
        "DIFFER  boot/initramfs.xz",
        "DIFFER  x",
        "DIFFER  y",
    ]
    assert "zstd frame 0: entry init: mtime: 1700000000" in lines[0]
    assert lines[-1] == "DIFFER  y: the file: nothing | there"
    assert sum(line.startswith("same ") for line in lines) == 1


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    one, other = write(tmp_path / "a"), write(tmp_path / "b", mtime=5)
    assert main([str(one), str(other), "--format", form]) == 1
    found = {"json": json.loads, "yaml": yaml.safe_load}[form](capsys.readouterr().out)
    assert found["equal"] is False
    assert [file["path"] for file in found["files"]] == ["boot/initramfs.xz", "boot/vmlinuz"]
    assert found["files"][0]["first_difference"]["place"] == ["zstd frame 0", "entry init", "mtime"]
    assert "first_difference" not in found["files"][1]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'gone'}: no such folder\n"


def test_times_and_modes_of_the_files_themselves_do_not_count(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a"), write(tmp_path / "b")
    (other / "boot/vmlinuz").chmod(0o600)
    assert compare_folders(one, other).equal
