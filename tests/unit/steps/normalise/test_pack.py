"""A packed image is the image, and the same bytes on any number of cores."""

from __future__ import annotations

import gzip
import itertools
import lzma
import os
import random
import shutil
import subprocess
import tarfile
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from ci.inspect import xz, zstd
from ci.inspect.compression import Compression, expand
from ci.inspect.context import Context
from ci.inspect.source import BytesSource, open_file
from ci.steps.normalise import pack as packing
from ci.steps.normalise.__main__ import main
from ci.steps.normalise.pack import BLOCK
from tests.unit.steps.normalise.running import run_in_two_places

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("xz", "zst", "gz")
TOOL = {"xz": "xz", "zst": "zstd", "gz": "gzip"}
READER: dict[str, Compression] = {"xz": "xz", "zst": "zstd", "gz": "gzip"}


SIZE = (25 << 20) + 123


def image(path: Path, *, sparse: bool = True) -> None:
    """25 MiB, of which one and a half hold something, in the first, third and last of four blocks."""
    chance = random.Random(7)
    with path.open("wb") as file:
        if not sparse:
            file.write(bytes(SIZE))
        for at, size in ((0, 1 << 18), ((17 << 20) + 5, 1 << 20), (25 << 20, 100)):
            file.seek(at)
            file.write(chance.randbytes(size))
        file.truncate(SIZE)


def pack(path: Path, form: str) -> Path:
    out = path.with_name(f"out.{form}")
    assert main(["pack", str(path), str(out), "--format", form]) == 0
    return out


def unpack(path: Path, form: str) -> bytes:
    with open_file(path) as source:
        return b"".join(expand(source, READER[form], Context()))


@pytest.mark.parametrize("form", FORMATS)
def test_one_core_and_all_give_one_file_from_holes_and_from_zeros(tmp_path: Path, form: str) -> None:
    image(tmp_path / "a")
    image(tmp_path / "b", sparse=False)
    os.utime(tmp_path / "b", (1, 1))
    assert (tmp_path / "a").stat().st_blocks < (tmp_path / "b").stat().st_blocks
    run_in_two_places(*(["pack", f"{tmp_path}/{n}", f"{tmp_path}/out-{n}", f"--format={form}"] for n in "ab"))
    packed = (tmp_path / "out-a").read_bytes()
    assert packed == (tmp_path / "out-b").read_bytes()
    assert unpack(tmp_path / "out-a", form) == (tmp_path / "a").read_bytes()
    assert len(packed) < 2 << 20


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_number_of_threads_does_not_show(
    tmp_path: Path, form: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "a")
    # Many blocks, so that threads overtake one another.
    monkeypatch.setattr(packing, "BLOCK", 64 << 10)
    packed: list[bytes] = []
    for cores in (1, threads):
        monkeypatch.setattr(packing, "_cores", lambda cores=cores: cores)
        packed.append(pack(tmp_path / "a", form).read_bytes())
    assert packed[0] == packed[1]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
@pytest.mark.parametrize("byte", [b"\0", b"x"])
def test_every_size_comes_back(tmp_path: Path, form: str, size: int, byte: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(byte * size)
    assert unpack(pack(path, form), form) == byte * size


@pytest.mark.parametrize("form", FORMATS)
def test_the_formats_own_tools_read_it(tmp_path: Path, form: str) -> None:
    tool = shutil.which(TOOL[form])
    if tool is None:
        pytest.skip(f"needs {TOOL[form]}")
    image(tmp_path / "a")
    done = subprocess.run([tool, "-d", "-c", str(pack(tmp_path / "a", form))], stdout=subprocess.PIPE, check=True)
    assert done.stdout == (tmp_path / "a").read_bytes()


def test_a_reader_of_one_xz_stream_gets_all(tmp_path: Path) -> None:
    image(tmp_path / "a")
    reader = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    assert reader.decompress(pack(tmp_path / "a", "xz").read_bytes()) == (tmp_path / "a").read_bytes()
    assert reader.eof
    assert reader.unused_data == b""
    assert reader.check == lzma.CHECK_CRC32


def frames(packed: bytes) -> list[bytes]:
    """The zstd frames of a file, one after the other."""
    source, ends = BytesSource("file", packed), [0]
    while ends[-1] < len(packed):
        ends.append(zstd.frame_end(source, ends[-1]))
    return [packed[start:end] for start, end in itertools.pairwise(ends)]


def test_each_zstd_frame_tells_its_size_and_has_a_checksum(tmp_path: Path) -> None:
    image(tmp_path / "a")
    found = [zstandard.get_frame_parameters(frame) for frame in frames(pack(tmp_path / "a", "zst").read_bytes())]
    assert [one.content_size for one in found] == [*[BLOCK] * 25, SIZE - 25 * BLOCK]
    assert all(one.has_checksum for one in found)


def test_nothing_is_a_frame_too(tmp_path: Path) -> None:
    """A file without a frame is none of the format: the tool refuses it."""
    (tmp_path / "a").touch()
    assert zstandard.ZstdDecompressor().decompress(pack(tmp_path / "a", "zst").read_bytes()) == b""


def test_a_library_that_goes_across_frames_gets_all(tmp_path: Path) -> None:
    image(tmp_path / "a")
    with pack(tmp_path / "a", "zst").open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert reader.read() == (tmp_path / "a").read_bytes()


def test_holes_are_one_frame_repeated(tmp_path: Path) -> None:
    image(tmp_path / "a")
    (hole, count), *_ = Counter(frames(pack(tmp_path / "a", "zst").read_bytes())).most_common()
    assert zstandard.ZstdDecompressor().decompress(hole) == bytes(BLOCK)
    assert (count, len(hole) < 100) == (22, True)


@pytest.mark.parametrize("form", FORMATS)
def test_zeros_are_packed_once(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []
    maker = {"xz": "_xz_block", "zst": "_zstd_frame", "gz": "_deflated"}[form]
    make = getattr(packing, maker)

    def noted(content: bytes) -> Any:
        given.append(content)
        return make(content)

    monkeypatch.setattr(packing, maker, noted)
    (tmp_path / "a").write_bytes(bytes(5 * BLOCK) + b"x" * BLOCK + bytes(2 * BLOCK))
    pack(tmp_path / "a", form)
    assert sorted(given) == [bytes(BLOCK), b"x" * BLOCK]


@pytest.mark.parametrize("count", [0, 1, 127, 128, 300])
def test_an_xz_index_holds_any_number_of_blocks(count: int) -> None:
    contents = [bytes([number % 256]) * (number + 1) for number in range(count)]
    packed = b"".join(xz.write_stream(xz.pack_block(content, 0) for content in contents))
    assert lzma.decompress(packed, format=lzma.FORMAT_XZ) == b"".join(contents)
    assert len(packed) % 4 == 0


def test_what_is_packed_already_is_stored_and_the_rest_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []
    pack_block = xz.pack_block

    def noted(content: bytes, preset: int) -> xz.Block:
        given.append(content)
        return pack_block(content, preset)

    monkeypatch.setattr(xz, "pack_block", noted)
    text = b"some text " * (BLOCK // 10) + bytes(BLOCK % 10)
    content = random.Random(3).randbytes(2 * BLOCK) + text + bytes(2 * BLOCK)
    (tmp_path / "a").write_bytes(content)
    packed = pack(tmp_path / "a", "xz")
    assert sorted(given) == [bytes(BLOCK), text]  # in threads, in any order
    assert unpack(packed, "xz") == content
    assert 2 * BLOCK < packed.stat().st_size < 2.01 * BLOCK


@pytest.mark.skipif(shutil.which("xz") is None, reason="needs xz")
def test_the_tool_finds_nothing_wrong_with_stored_blocks_and_their_sizes(tmp_path: Path) -> None:
    image(tmp_path / "a")
    packed = pack(tmp_path / "a", "xz")
    packed = packed.rename(packed.with_suffix(".raw.xz"))
    assert subprocess.run(["xz", "--test", packed], check=False).returncode == 0
    listed = subprocess.run(["xz", "--robot", "--list", "-vv", packed], capture_output=True, text=True, check=True)
    blocks = [line.split("\t") for line in listed.stdout.splitlines() if line.startswith("block")]
    assert len(blocks) == -(-SIZE // BLOCK)
    assert {block[9] for block in blocks} == {"CRC32"}


def test_damage_to_a_block_is_found(tmp_path: Path) -> None:
    image(tmp_path / "a")
    packed = bytearray(pack(tmp_path / "a", "xz").read_bytes())
    packed[len(packed) // 2] ^= 1
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(packed))


# gzip, and Google Cloud's tar of it


def test_gzip_is_one_member_without_name_and_time(tmp_path: Path) -> None:
    image(tmp_path / "a")
    data = pack(tmp_path / "a", "gz").read_bytes()
    assert data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    one = zlib.decompressobj(wbits=31)
    assert len(one.decompress(data)) == SIZE
    assert (one.eof, one.unused_data) == (True, b"")


def test_an_empty_file_is_packed_as_gzip(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert gzip.decompress(pack(tmp_path / "a", "gz").read_bytes()) == b""


def google(path: Path, epoch: int = 1_700_000_000) -> Path:
    out = path.with_name("out.tar.gz")
    assert main(["pack", str(path), str(out), "--format", "tar.gz", "--epoch", str(epoch)]) == 0
    return out


def test_a_tar_holds_the_disk_alone_as_google_cloud_wants_it(tmp_path: Path) -> None:
    """One file `disk.raw` in a tar of GNU's older format, packed with gzip; nothing in it is a hole."""
    image(tmp_path / "a")
    out = google(tmp_path / "a")
    with tarfile.open(out) as archive:
        (member,) = archive.getmembers()
        file = archive.extractfile(member)
        assert file
        assert file.read() == (tmp_path / "a").read_bytes()
    assert (member.name, member.size, member.mtime, member.mode) == ("disk.raw", SIZE, 1_700_000_000, 0o644)
    assert (member.uid, member.gid, member.type, member.issparse()) == (0, 0, tarfile.REGTYPE, False)
    data = gzip.decompress(out.read_bytes())
    assert data[257:265] == b"ustar  \0"
    assert len(data) % tarfile.RECORDSIZE == 0


def test_gnu_tar_takes_it_out(tmp_path: Path) -> None:
    image(tmp_path / "a")
    done = subprocess.run(["tar", "-xvzf", google(tmp_path / "a"), "-C", tmp_path], capture_output=True, check=True)
    assert done.stdout == b"disk.raw\n"
    assert (tmp_path / "disk.raw").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "disk.raw").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize("gib", [8, 9])
def test_a_tar_of_a_disk_of_eight_gib_and_more_has_its_size(tmp_path: Path, gib: int) -> None:
    """Eight GiB, Google Cloud's default, is one byte more than octal digits hold; GNU's format has it in binary."""
    with (tmp_path / "a").open("wb") as file:
        file.truncate(gib << 30)
    with open_file(tmp_path / "a") as source:
        header, disk, end = packing.google_tar(source, 0)
        head = header.read_up_to(0, 512)
    assert tarfile.TarInfo.frombuf(head, "utf-8", "strict").size == disk.size == gib << 30
    assert (header.size + disk.size + end.size) % tarfile.RECORDSIZE == 0
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(head)
        file.truncate(header.size + disk.size + end.size)
    listed = subprocess.run(["tar", "-tvf", tmp_path / "a.tar"], capture_output=True, text=True, check=True).stdout
    assert listed.split()[2] == str(gib << 30)
    assert listed.endswith(" disk.raw\n")


def test_threads_do_not_show_in_a_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "a")
    one = google(tmp_path / "a").read_bytes()
    monkeypatch.setattr(packing, "_cores", lambda: 5)
    assert google(tmp_path / "a").read_bytes() == one
