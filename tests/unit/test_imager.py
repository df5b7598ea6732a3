"""The `zstd` that stands before the imager's own in PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from ci.graph.imager import ZSTD


def run(folder: Path, own: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Call `zstd` as the imager does, with ours before its own in PATH; both run in this machine's shell."""
    before, theirs = folder / "before", folder / "theirs"
    for place, script in ((before, ZSTD.split("\n", 1)[1]), (theirs, own)):
        place.mkdir()
        (place / "zstd").write_text("#!/bin/sh\n" + script)
        (place / "zstd").chmod(0o755)
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
    program = shutil.which("zstd")
    if program is None:
        pytest.skip("this machine has no zstd")
    content = Path(__file__).read_bytes() * 100
    done = run(tmp_path, f'exec {program} "$@"\n', "-T0", "-18", "-c", "--quiet", stdin=content)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(done.stdout) == content
