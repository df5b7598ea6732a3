"""Two folders byte by byte, and the command line of `ci.compare`."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from ci.compare.folders import compare_folders
from ci.steps.compare import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from collections.abc import Callable
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


def test_two_empty_folders_are_nothing_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err


def test_links_are_compared_by_their_targets(tmp_path: Path) -> None:
    for name, targets in (("a", ("gone", "../b", "same")), ("b", ("other", "../b", "same"))):
        (tmp_path / name).mkdir()
        for number, target in enumerate(targets):
            (tmp_path / name / f"link-{number}").symlink_to(target)
    found = compare_folders(tmp_path / "a", tmp_path / "b")
    assert [(file.path, file.kind, str(file.first_difference)) for file in found.files] == [
        ("link-0", "link", "the link's target: gone | other"),
        ("link-1", "link", "None"),
        ("link-2", "link", "None"),
    ]
    assert not found.equal


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkdir, "the file: nothing | folder"),
        (partial(os.symlink, "gone"), "the file: nothing | link"),
        (os.mknod, "the file: nothing | there"),
        (os.mkfifo, "the file: nothing | a special file"),
    ],
)
def test_what_is_only_in_one_of_them_is_told(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    one, other = write(tmp_path / "a"), write(tmp_path / "b")
    make(other / "more")
    (found,) = [file for file in compare_folders(one, other).files if file.first_difference]
    assert (found.path, str(found.first_difference)) == ("more", words)


def test_a_link_is_no_file_even_to_the_same_bytes(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a", x=b"1"), write(tmp_path / "b", y=b"1")
    (other / "x").symlink_to("y")
    (one / "y").write_bytes(b"1")
    (found,) = [file for file in compare_folders(one, other).files if file.first_difference]
    assert (found.path, str(found.first_difference)) == ("x", "the file: file | link")


def test_equal_empty_folders_inside_are_equal(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "empty").mkdir(parents=True)
    assert compare_folders(tmp_path / "a", tmp_path / "b").render("text").split() == ["same", "empty", "folder"]


def test_a_folder_with_something_in_it_is_not_listed_itself(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for path in ("boot/x", "boot.txt", "boot-2/y"):
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(b"1")
    found = compare_folders(tmp_path / "a", tmp_path / "b")
    assert [file.path for file in found.files] == ["boot-2/y", "boot.txt", "boot/x"]
