"""The readers and independent tools agree on what was built. A tool that this machine does not have skips its test."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.models import ImageFacts, InitramfsFacts, IsoFacts, SquashfsFacts, UkiFacts
from tests.engine.built import Initramfs, expanded_frames
from tests.unit.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.built import Built


def run(*command: str | Path, stdin: bytes | None = None) -> bytes:
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


@needs("cpio")
def test_cpio_lists_the_same_initramfs(spin_only: Built) -> None:
    path = spin_only.root / "boot/initramfs.xz"
    facts = inspect_path(path).facts
    assert isinstance(facts, InitramfsFacts)
    expanded = expanded_frames(path.read_bytes())
    assert len(expanded) == len(facts.frames)
    for data, frame in zip(expanded, facts.frames, strict=True):
        lines = run("cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet", stdin=data).decode().splitlines()
        rows = [re.split(r" +", line, maxsplit=8) for line in lines]
        # Mode, links, owner, group, size, month, day, time or year, name and a link's target.
        listed = [(row[8].split(" -> ")[0], row[2], row[3]) for row in rows if row[8] != "."]
        assert [(entry.path, str(entry.uid), str(entry.gid)) for entry in frame.entries] == listed
        sizes = {row[8]: int(row[4]) for row in rows if row[0].startswith("-")}
        assert {entry.path: entry.size for entry in frame.entries if entry.type == "file"} == sizes


@needs("unsquashfs")
def test_unsquashfs_lists_and_unpacks_the_same_extensions(spin_only: Built, tmp_path: Path) -> None:
    node = inspect_path(spin_only.root / "boot/initramfs.xz")
    images = {inner.name: inner.facts for inner in node.contents if isinstance(inner.facts, SquashfsFacts)}
    initramfs = Initramfs.parse((spin_only.root / "boot/initramfs.xz").read_bytes())
    names = [file.path for file in initramfs.files if file.path.endswith(".sqsh")]
    assert set(images) == {*names, "rootfs.sqsh"}
    for name in names:
        facts = images[name]
        (tmp_path / name).write_bytes(initramfs[name])
        lines = run("unsquashfs", "-l", "-d", "", tmp_path / name).decode().splitlines()
        assert {line.strip("/") for line in lines if line.strip("/")} == {entry.path for entry in facts.entries}
        out = tmp_path / f"{name}.out"
        run("unsquashfs", "-q", "-n", "-d", out, tmp_path / name)
        for entry in facts.entries:
            if entry.type == "file":
                digest = run("sha256sum", out / entry.path).split()[0].decode()
                assert (digest, (out / entry.path).stat().st_mode & 0o7777) == (entry.sha256, entry.mode)
            if entry.type == "symlink":
                assert str((out / entry.path).readlink()) == entry.target


#: Debian's objdump knows the machine's own architecture alone; those of others have their names.
OBJDUMP = next(filter(shutil.which, ("aarch64-linux-gnu-objdump", "objdump")), "objdump")


@needs(OBJDUMP)
def test_objdump_sees_the_same_sections(spin_only: Built) -> None:
    path = spin_only.root / "uki/metal-arm64-uki.efi"
    facts = inspect_path(path).facts
    assert isinstance(facts, UkiFacts)
    done = subprocess.run([OBJDUMP, "-h", path], capture_output=True, text=True, check=False)
    if "file format not recognized" in done.stderr:
        pytest.skip("this machine's objdump does not know arm64")
    rows = re.findall(r"^ +\d+ (\S+) +([0-9a-f]{8}) +\S+ +\S+ +([0-9a-f]{8})", done.stdout, re.MULTILINE)
    assert [(name, int(offset, 16)) for name, _, offset in rows] == [(s.name, s.offset) for s in facts.sections]


@needs("isoinfo")
def test_isoinfo_lists_the_same_iso(spin_only: Built) -> None:
    path = spin_only.root / "iso/metal-arm64.iso"
    facts = inspect_path(path).facts
    assert isinstance(facts, IsoFacts)
    listed = run("isoinfo", "-f", "-R", "-i", path).decode().split("\n")
    assert {line.strip("/") for line in listed if line} == {entry.path for entry in facts.entries}
    assert f"Volume id: {facts.volume}\n" in run("isoinfo", "-d", "-i", path).decode()
    for entry in facts.entries:
        if entry.type == "file":
            assert len(run("isoinfo", "-R", "-x", f"/{entry.path}", "-i", path)) == entry.size


@needs("crane")
def test_crane_exports_the_same_installer(spin_only: Built, tmp_path: Path) -> None:
    path = spin_only.root / "installer/installer-arm64.tar"
    facts = inspect_path(path).facts
    assert isinstance(facts, ImageFacts)
    flat = tmp_path / "flat.tar"
    flat.write_bytes(run("crane", "export", "-", "-", stdin=path.read_bytes()))
    listed = {line.strip("/") for line in run("tar", "-t", "-f", flat).decode().splitlines()}
    folders = {entry.path for entry in facts.entries if entry.type == "directory"}
    assert {entry.path for entry in facts.entries} - folders == listed - folders
