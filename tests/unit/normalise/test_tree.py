"""A folder's tar follows from names, contents, modes and links alone."""

from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path

import pytest

from ci.inspect import inspect_path
from ci.inspect.models import ExtensionFacts
from ci.normalise.__main__ import main
from tests.unit.inspect import samples
from tests.unit.normalise.running import EPOCH, refusal, run_in_two_places

MANIFEST = b"version: v1alpha1\nmetadata:\n  name: spin\n  version: v0.21.0\n"
LONG = "rootfs/usr/local/lib/containers/" + "a-long-name/" * 8 + "file"
TARGET = "../" * 40 + "target"


def extension(folder: Path, *, backwards: bool = False, time: int = 1_795_000_000, mask: int = 0o022) -> Path:
    """The same tree, written in one order or the other."""
    files: list[tuple[str, bytes, int]] = [
        ("manifest.yaml", MANIFEST, 0o644),
        ("rootfs/usr/local/bin/containerd-shim-spin-v2", samples.elf(), 0o4755),
        ("rootfs/usr/local/bin.d", b"sorted behind bin", 0o600),
        ("rootfs/etc/empty", b"", 0o444),
        (LONG, b"x" * 1000, 0o644),
        ("rootfs/é", "ü".encode(), 0o644),
    ]
    before = os.umask(mask)
    for name, data, mode in reversed(files) if backwards else files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    os.umask(before)
    (folder / "rootfs/link").symlink_to("usr/local/bin")
    (folder / "rootfs/long-link").symlink_to(TARGET)
    (folder / "rootfs/usr/hard").hardlink_to(folder / "rootfs/etc/empty")
    (folder / "rootfs/private").mkdir()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o1777 if path.name == "private" else 0o755)
        os.utime(path, (time, time), follow_symlinks=False)
    if os.geteuid() == 0:
        # Only root can give files away; what root unpacked belongs to anyone.
        os.chown(folder / "manifest.yaml", 1000, 1000)
    return folder


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path, "r:") as archive:
        return archive.getmembers()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder, out = extension(tmp_path / "in"), tmp_path / "out.tar"
    assert main(["tar", str(folder), str(out), f"--epoch={EPOCH}"]) == 0
    return out


def test_two_folders_of_one_content_give_one_file_wherever_and_whenever(tmp_path: Path) -> None:
    extension(tmp_path / "a")
    extension(tmp_path / "b", backwards=True, time=5, mask=0o077)
    run_in_two_places(*(["tar", f"{tmp_path}/{n}", f"{tmp_path}/out-{n}", f"--epoch={EPOCH}"] for n in "ab"))
    assert (tmp_path / "out-a").read_bytes() == (tmp_path / "out-b").read_bytes()


def test_names_are_as_the_imager_wants_them_and_sorted(out: Path) -> None:
    parents = LONG.split("/")[:-1]
    assert [info.name for info in members(out)] == [
        "manifest.yaml",
        "rootfs",
        "rootfs/etc",
        "rootfs/etc/empty",
        "rootfs/link",
        "rootfs/long-link",
        "rootfs/private",
        "rootfs/usr",
        "rootfs/usr/hard",
        "rootfs/usr/local",
        "rootfs/usr/local/bin",
        "rootfs/usr/local/bin/containerd-shim-spin-v2",
        "rootfs/usr/local/bin.d",
        *("/".join(parents[:end]) for end in range(4, len(parents) + 1)),
        LONG,
        "rootfs/é",
    ]


def test_owners_names_and_times_are_gone(out: Path) -> None:
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in members(out)} == {
        (0, 0, "", "", EPOCH)
    }


def test_modes_and_links_are_kept(out: Path) -> None:
    found = {info.name: info for info in members(out)}
    assert found["rootfs/usr/local/bin/containerd-shim-spin-v2"].mode == 0o4755
    assert found["rootfs/usr/local/bin.d"].mode == 0o600
    assert found["rootfs/private"].mode == 0o1777
    assert (found["rootfs/link"].issym(), found["rootfs/link"].linkname) == (True, "usr/local/bin")
    assert found["rootfs/long-link"].linkname == TARGET
    assert (found["rootfs/usr/hard"].islnk(), found["rootfs/usr/hard"].linkname) == (True, "rootfs/etc/empty")


def test_there_are_no_pax_headers(out: Path) -> None:
    data = out.read_bytes()
    flags = {data[at + 156 : at + 157] for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"}
    # Files, hard and symbolic links, directories; GNU's long names and long targets.
    assert flags == {b"0", b"1", b"2", b"5", b"L", b"K"}


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="needs extended attributes")
def test_extended_attributes_are_dropped(tmp_path: Path, out: Path) -> None:
    before = out.read_bytes()
    try:
        os.setxattr(tmp_path / "in" / "manifest.yaml", "user.note", b"x")
    except OSError:
        pytest.skip("the file system has none")
    assert main(["tar", str(tmp_path / "in"), str(out), f"--epoch={EPOCH}"]) == 0
    assert out.read_bytes() == before


def test_the_readers_find_the_extension(out: Path) -> None:
    facts = inspect_path(out).facts
    assert isinstance(facts, ExtensionFacts)
    assert facts.name == "spin"


def test_names_that_are_no_text_keep_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_bytes(b"x")
    out = tmp_path / "out.tar"
    assert main(["tar", str(folder), str(out), f"--epoch={EPOCH}"]) == 0
    assert out.read_bytes()[:3] == b"\xff\xfe\0"


def test_a_socket_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        said = refusal(capsys, "tar", folder, tmp_path / "out", "--epoch", EPOCH)
    assert said == f"error: {folder}/s: a socket has no place in an image"
    assert not (tmp_path / "out").exists()


def test_what_is_no_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "tar", tmp_path / "no", tmp_path / "out", "--epoch", EPOCH)
    assert said == f"error: {tmp_path}/no: no such folder"
