"""The programs that stand before the imager's own in PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from ci.execute.imager import XZ, ZSTD


def program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)


def run(folder: Path, own: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Call `zstd` as the imager does, with ours before its own in PATH; both run in this machine's shell."""
    before, theirs = folder / "before", folder / "theirs"
    program(before / "zstd", ZSTD.split("\n", 1)[1])
    program(theirs / "zstd", own)
    env = {"PATH": f"{before}:{theirs}:{os.environ['PATH']}"}
    return subprocess.run(["zstd", *arguments], env=env, input=stdin, capture_output=True, check=False)


def test_it_runs_the_imagers_own_with_the_same_arguments_and_another_level(tmp_path: Path) -> None:
    done = run(tmp_path, 'printf "%s\\n" "$@"\n', "-T0", "-18", "-c", "--quiet", "a name")
    assert done.stdout.decode().splitlines() == ["-T0", "-18", "-c", "--quiet", "a name", "-1"]


def test_it_says_so(tmp_path: Path) -> None:
    assert b"level 1" in run(tmp_path, "exit 0\n", "-18").stderr


def test_its_end_is_that_of_the_imagers_own(tmp_path: Path) -> None:
    done = run(tmp_path, "echo broken pipe >&2; exit 7\n", "-18")
    assert done.returncode == 7
    assert b"broken pipe" in done.stderr


def test_the_content_is_the_same(tmp_path: Path) -> None:
    own = shutil.which("zstd")
    if own is None:
        pytest.skip("this machine has no zstd")
    content = Path(__file__).read_bytes() * 100
    done = run(tmp_path, f'exec {own} "$@"\n', "-T0", "-18", "-c", "--quiet", stdin=content)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(done.stdout) == content


IMAGE = bytes(100_000) + b"what is in it" + bytes(100_000)


def leave_unpacked(folder: Path, qemu_img: str | None) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Call `xz` for a disk image as the imager does, in this machine's shell; returns how that ended, and the image."""
    image = folder / "out of it" / "metal-arm64.raw"
    image.parent.mkdir()
    image.write_bytes(IMAGE)
    # Its shell and `mv` come from a file in the container.
    program(folder / "xz", XZ.split("\n", 1)[1].replace("/before/busybox mv", "/bin/mv"))
    if qemu_img is not None:
        program(folder / "qemu-img", qemu_img)
    command = ["xz", "-0", "-f", "-T", "0", str(image)]
    # Nothing else is in PATH: this machine may have a qemu-img of its own.
    done = subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)
    return done, image


def test_an_image_is_converted_to_one_with_holes_in_place_of_being_packed(tmp_path: Path) -> None:
    done, image = leave_unpacked(tmp_path, 'echo "$@" > "${0%/*}/called"; /bin/cp "$8" "$9"; echo more >> "$9"\n')
    assert done.returncode == 0, done.stderr
    assert image.read_bytes() == IMAGE + b"more\n"
    assert (tmp_path / "called").read_text() == f"convert -f raw -O raw -S 4k {image} {image}.holes\n"
    assert [path.name for path in image.parent.iterdir()] == [image.name]
    assert "holes" in done.stderr


def test_what_is_no_disk_image_is_packed_by_the_imagers_own(tmp_path: Path) -> None:
    script = XZ.split("\n", 1)[1].replace("/before/busybox which", "command -v")
    program(tmp_path / "before/xz", script)
    program(tmp_path / "theirs/xz", 'printf "%s\\n" "$@"; exit 5\n')
    env = {"PATH": f"{tmp_path}/before:{tmp_path}/theirs"}
    done = subprocess.run(["xz", "-d", "-c", "a boot loader.xz"], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.returncode) == (["-d", "-c", "a boot loader.xz"], 5)


def test_an_image_that_can_not_be_converted_is_an_error(tmp_path: Path) -> None:
    done, image = leave_unpacked(tmp_path, "echo no space left >&2; exit 3\n")
    assert done.returncode == 3
    assert "no space left" in done.stderr
    assert image.read_bytes() == IMAGE


def test_without_qemu_img_the_image_stays_as_it_is_and_that_is_said(tmp_path: Path) -> None:
    done, image = leave_unpacked(tmp_path, None)
    assert done.returncode == 0, done.stderr
    assert image.read_bytes() == IMAGE
    assert [path.name for path in image.parent.iterdir()] == [image.name]
    assert "no qemu-img" in done.stderr
