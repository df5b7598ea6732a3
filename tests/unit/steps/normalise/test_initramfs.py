"""An initramfs made at any time is the same file, and its base is the one that went in."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import zstandard

from ci.inspect.inspect import inspect_path
from ci.inspect.models import Entry, InitramfsFacts
from ci.steps.normalise.__main__ import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.steps.normalise.running import EPOCH, TOP, files_in, refusal, run_in_two_places

if TYPE_CHECKING:
    from pathlib import Path

#: The same each time: tests that run side by side are told apart by their data.
NOISE = random.Random(1)

MTIME, LINKS = slice(46, 54), slice(38, 46)

EXTENSIONS_YAML = b"layers:\n    - image: 0.sqsh\n      metadata:\n        name: spin\n        version: v0.21.0\n"

APPENDED = [
    File("0.sqsh", samples.squashfs([File("usr/local/bin/containerd-shim-spin-v2", samples.elf(), 0o755)])),
    File("extensions.yaml", EXTENSIONS_YAML),
    File("usr/"),
    File("usr/lib/"),
    File("usr/lib/firmware/"),
    File("usr/lib/firmware/blob.fw", NOISE.randbytes(5000), 0o640),
]

# A zstd frame inside incompressible data must not be taken for the next one; zeros become blocks of one byte.
BINARY = samples.elf() + NOISE.randbytes(300_000) + samples.zstd(b"x") + NOISE.randbytes(300_000) + bytes(1 << 20)
BASE = samples.zstd(samples.cpio([File("init", BINARY, 0o755)]))


def appended(mtime: int, links: int = 3) -> bytes:
    """The archive of one build: its time, and the link count that its file system gives directories."""
    data = bytearray(samples.cpio(APPENDED, mtime=mtime))
    at = 0
    while (at := data.find(b"070701", at)) >= 0:
        if bytes(data[at + 14 : at + 22]) == b"000041ed":
            data[at + 38 : at + 46] = b"%08x" % links
        at += 110
    # cpio fills up to a block of 512 bytes.
    return bytes(data) + bytes(-len(data) % 512)


def as_the_imager(data: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(level=18, write_checksum=True, write_content_size=False, threads=1)
    packing = compressor.compressobj()
    return packing.compress(data) + packing.flush()


def expand(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(frame)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "initramfs"
    path.write_bytes(BASE + as_the_imager(appended(1_795_407_323)))
    return path


def normalise(path: Path) -> bytes:
    out = path.with_name("out")
    assert main([str(part) for part in ("initramfs", path, out, "--epoch", EPOCH)]) == 0
    return out.read_bytes()


def entries(path: Path) -> list[tuple[Entry, ...]]:
    facts = inspect_path(path).facts
    assert isinstance(facts, InitramfsFacts)
    return [frame.entries for frame in facts.frames]


def test_two_builds_give_one_file_wherever_and_whenever_they_run(tmp_path: Path) -> None:
    builds = [appended(1_795_407_323, links=3), appended(1_795_499_999, links=1)]
    assert builds[0] != builds[1]
    for name, build in zip(("a", "b"), builds, strict=True):
        (tmp_path / name).write_bytes(BASE + as_the_imager(build))
    os.utime(tmp_path / "b", (1, 1))
    run_in_two_places(*(["initramfs", f"{tmp_path}/{n}", f"{tmp_path}/out-{n}", f"--epoch={EPOCH}"] for n in "ab"))
    assert (tmp_path / "out-a").read_bytes() == (tmp_path / "out-b").read_bytes()
    assert (tmp_path / "out-b").stat().st_mode & 0o777 == 0o644


def test_the_base_stays_byte_for_byte(made: Path) -> None:
    assert normalise(made)[: len(BASE)] == BASE


def test_only_times_and_the_directories_link_counts_change(made: Path) -> None:
    old, new = appended(1_795_407_323), expand(normalise(made)[len(BASE) :])
    assert len(old) == len(new)
    starts = [at for at in range(0, len(old), 4) if old[at : at + 6] == b"070701"]
    allowed = {start + at for start in starts for part in (MTIME, LINKS) for at in range(part.start, part.stop)}
    assert {at for at in range(len(old)) if old[at] != new[at]} <= allowed
    times = [new[start:][MTIME] for start in starts]
    # The last header is the trailer's, in which `cpio` leaves the time zero.
    assert times == [b"%08X" % EPOCH] * len(APPENDED) + [b"00000000"]


def test_the_readers_find_every_entry_as_it_was_but_for_its_time(made: Path) -> None:
    normalise(made)
    before, after = entries(made), entries(made.with_name("out"))
    assert after[0] == before[0]
    assert [entry.path for entry in after[1]] == [file.path.rstrip("/") for file in APPENDED]
    assert {entry.mtime for entry in after[1]} == {EPOCH}
    assert after[1] == tuple(entry.model_copy(update={"mtime": EPOCH}) for entry in before[1])


def test_the_frame_is_as_the_imager_writes_it(made: Path) -> None:
    parameters = zstandard.get_frame_parameters(normalise(made)[len(BASE) :])
    assert parameters.has_checksum
    assert parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN


def test_firmware_that_repeats_itself_at_a_distance_is_packed_once(tmp_path: Path) -> None:
    path = tmp_path / "initramfs"
    once = NOISE.randbytes(6 << 20)
    path.write_bytes(BASE + as_the_imager(samples.cpio([File("first.bin", once), File("second.bin", once)])))
    assert len(normalise(path)) < len(BASE) + 1.01 * len(once)


@pytest.mark.skipif(not shutil.which("cpio") or not shutil.which("zstd"), reason="needs cpio and zstd")
def test_what_the_imagers_tools_write_at_two_times_becomes_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    (folder / "usr" / "lib").mkdir(parents=True)
    names = ["0.bin", "usr", "usr/lib", "usr/lib/a.fw"]
    for name in (names[0], names[3]):
        (folder / name).write_bytes(os.urandom(20_000))
    made: list[bytes] = []
    for number, time in enumerate((1_795_000_000, 1_795_009_999)):
        for name in names:
            os.utime(folder / name, (time, time))
        archive = subprocess.run(
            ["cpio", "-H", "newc", "--create", "--reproducible", "--quiet", "-R", "+0:+0"],
            cwd=folder,
            input="\n".join(names).encode(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        frame = subprocess.run(["zstd", "-T0", "-18", "-c", "-q"], input=archive, stdout=subprocess.PIPE, check=True)
        path = tmp_path / str(number)
        path.write_bytes(BASE + frame.stdout)
        made.append(normalise(path))
    assert (tmp_path / "0").read_bytes() != (tmp_path / "1").read_bytes()
    assert made[0] == made[1]
    assert [entry.path for entry in entries(tmp_path / "out")[1]] == names


def test_microcode_put_before_the_base_gets_the_time_too(tmp_path: Path) -> None:
    # The imager puts amd64's CPU microcode, which can't be compressed, before the base.
    microcode = [File("kernel/"), File("kernel/x86/"), File("kernel/x86/AuthenticAMD.bin", b"ucode")]
    path = tmp_path / "initramfs"
    path.write_bytes(samples.cpio(microcode, mtime=1_795_407_323) + BASE + as_the_imager(appended(1_795_407_323)))
    assert BASE in normalise(path)
    first, second, third = entries(tmp_path / "out")
    assert [entry.path for entry in first] == [file.path.rstrip("/") for file in microcode]
    assert {entry.mtime for entry in (*first, *third)} == {EPOCH}
    assert {entry.mtime for entry in second} == {1_700_000_000}


def test_an_initramfs_without_extensions_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "initramfs"
    path.write_bytes(BASE + bytes(3))
    assert normalise(path) == BASE + bytes(3)


WHOLE = BASE + as_the_imager(appended(5))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file is no initramfs"),
        (samples.xz(b"x"), "at byte 0 is xz data: only an initramfs in zstd frames can be normalised"),
        (samples.gz(b"x"), "at byte 0 is gzip data"),
        (BASE + samples.xz(b"x"), f"at byte {len(BASE)} is xz data"),
        (b"#!/bin/sh\n", "neither a zstd frame nor a cpio archive but b'#!/bin/s'"),
        (WHOLE[:-1], f"zstd frame at byte {len(BASE)}: the file ends at {len(WHOLE) - 1} inside it"),
        (BASE[:100_000], "zstd frame at byte 0: the file ends at 100000 inside it"),
        (BASE[:5], "zstd frame at byte 0"),
        (WHOLE[:-4] + bytes(4), "checksum"),
        (BASE[:10] + b"\x07\0\0" + BASE[13:], "the block at byte 10 is of the reserved type"),
        (BASE + as_the_imager(b"no archive" * 100), "no newc header but b'no arc'"),
        (BASE + as_the_imager(appended(5)[:300]), "cut short"),
        (BASE + as_the_imager(b"070701" + b"z" * 104), "no hexadecimal number"),
        (BASE + as_the_imager(b"070701" + b"f" * 104), "a name of 4294967295 bytes"),
    ],
)
def test_what_is_no_such_initramfs_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, reason: str
) -> None:
    path = tmp_path / "initramfs"
    path.write_bytes(data)
    said = refusal(capsys, "initramfs", path, tmp_path / "out", "--epoch", EPOCH)
    assert said.startswith(f"error: {path}: ")
    assert reason in said
    assert files_in(tmp_path) == ["initramfs"]


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "initramfs", tmp_path / "no", tmp_path / "out", "--epoch", EPOCH)
    assert said == f"error: {tmp_path}/no: no such file"
    said = refusal(capsys, "pack", __file__, tmp_path / "no" / "out", "--format", "xz")
    assert said == f"error: {tmp_path}/no/.out.part: No such file or directory"


def test_a_frame_of_100_megabytes_needs_less_than_200_of_memory(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    path = tmp_path / "initramfs"
    path.write_bytes(BASE + samples.zstd(samples.cpio([File("0.sqsh", block * 100)])))
    # Not `ru_maxrss`, which a process takes over from the one that started it.
    script = f"""
import pathlib, re, sys
from ci.steps.normalise.__main__ import main
code = main(["initramfs", {str(path)!r}, {str(tmp_path / "out")!r}, "--epoch", "1"])
print(re.search("VmHWM:(.*)kB", pathlib.Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 1024
    assert len(expand((tmp_path / "out").read_bytes()[len(BASE) :])) > 100 << 20


@pytest.mark.parametrize("foreign", ["dagger", "ci.inspect.models"])
def test_the_program_does_without_what_takes_long_to_import(foreign: str) -> None:
    script = f"import sys, ci.steps.normalise.__main__; sys.exit({foreign!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=TOP, check=False).returncode == 0


@pytest.mark.parametrize("epoch", ["-1", "4294967296", "now", "1.5", ""])
def test_a_time_that_cpio_cannot_hold_is_refused(epoch: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["initramfs", "in", "out", f"--epoch={epoch}"])
    assert "write seconds since 1970, 0 to 4294967295" in capsys.readouterr().err
