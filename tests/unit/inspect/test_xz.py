"""Streams of many blocks are read block by block, and give what the library's own decoder gives."""

from __future__ import annotations

import lzma
import random
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ci.inspect import xz
from ci.inspect.compression import Frame, expand
from ci.inspect.context import Context
from ci.inspect.errors import InspectError
from ci.inspect.source import BytesSource

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 1 << 16
CONTENTS = [random.Random(1).randbytes(SIZE), *[bytes(SIZE)] * 5, random.Random(2).randbytes(100)]


def packed(contents: list[bytes] = CONTENTS) -> bytes:
    return b"".join(xz.write_stream(xz.pack_block(content, 0) for content in contents))


def expanded(data: bytes) -> bytes:
    return b"".join(expand(BytesSource("disk.xz", data), "xz", Context()))


def index_of(data: bytes) -> int:
    """Where the index begins."""
    return len(data) - 12 - (int.from_bytes(data[-8:-4], "little") + 1) * 4


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As many entries as decoders were made."""
    made: list[int] = []
    real = lzma.LZMADecompressor

    def make(**given: Any) -> lzma.LZMADecompressor:
        made.append(1)
        return real(**given)

    monkeypatch.setattr("ci.inspect.xz.lzma.LZMADecompressor", make)
    return made


def test_equal_blocks_in_a_row_are_expanded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted(monkeypatch)
    assert expanded(packed()) == b"".join(CONTENTS)
    assert len(made) == 3


@pytest.mark.parametrize("size", [1, 3, 4, 65535, 65536, 65537, 200_000])
def test_a_stored_block_is_what_the_library_expands(size: int) -> None:
    content = random.Random(size).randbytes(size)
    data = b"".join(xz.write_stream([xz.store_block(content), xz.pack_block(bytes(size), 0), xz.store_block(content)]))
    assert lzma.decompress(data, format=lzma.FORMAT_XZ) == content + bytes(size) + content
    assert expanded(data) == content + bytes(size) + content


def test_damage_to_a_stored_block_is_found() -> None:
    data = bytearray(b"".join(xz.write_stream([xz.store_block(b"content" * 1000), xz.store_block(b"more")])))
    data[3000] ^= 1
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(data), format=lzma.FORMAT_XZ)


def test_a_stream_ends_where_its_file_does() -> None:
    data = b"before" + packed()
    frame = Frame(BytesSource("disk.xz", data), 6, "xz", Context())
    assert b"".join(frame.chunks()) == b"".join(CONTENTS)
    assert (frame.end, frame.expanded) == (len(data), sum(map(len, CONTENTS)))


ALL = b"".join(CONTENTS)


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (packed() + packed(), ALL + ALL),
        (packed() + bytes(8), ALL),
        (packed([b"one"]), b"one"),
        (lzma.compress(b"", preset=0), b""),
    ],
)
def test_other_files_are_read_in_order(data: bytes, content: bytes) -> None:
    assert xz.read_stream(BytesSource("disk.xz", data), 0) is None
    assert expanded(data) == content


@pytest.mark.skipif(shutil.which("xz") is None, reason="xz is not on this machine")
@pytest.mark.parametrize("check", ["none", "crc32", "crc64", "sha256"])
def test_what_xz_writes_in_threads_is_read_by_its_blocks(tmp_path: Path, check: str) -> None:
    (tmp_path / "disk").write_bytes(b"".join(CONTENTS))
    subprocess.run(["xz", "-0", "-T2", f"--block-size={SIZE}", f"--check={check}", "disk"], cwd=tmp_path, check=True)
    data = (tmp_path / "disk.xz").read_bytes()
    found = xz.read_stream(BytesSource("disk.xz", data), 0)
    assert found is not None
    assert len(found.blocks) == len(CONTENTS)
    assert expanded(data) == b"".join(CONTENTS)


def places() -> list[int]:
    data = packed()
    start = index_of(data)
    # The first block's header, its content, its checksum, a repeated block, the index, the footer.
    return [12, 5000, SIZE + 60, start - 300, start, start + 3, start + 9, len(data) - 12, len(data) - 6, len(data) - 1]


@pytest.mark.parametrize("place", places())
def test_damage_is_found_wherever_it_is(place: int) -> None:
    data = bytearray(packed())
    data[place] ^= 0x11
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(data))
    with pytest.raises(InspectError, match=r"^disk\.xz: "):
        expanded(bytes(data))


@pytest.mark.parametrize("size", [1, 13, 5000, index_of(packed()) + 2, len(packed()) - 1])
def test_a_file_cut_short_is_told(size: int) -> None:
    with pytest.raises(InspectError, match=r"^disk\.xz: "):
        expanded(packed()[:size])


def forged(block: xz.Block) -> bytes:
    """A stream whose index says this of its first block, with true checksums."""
    return b"".join(xz.write_stream([block, xz.pack_block(b"other", 0)]))


@pytest.mark.parametrize("said", [0, 1, SIZE - 1, SIZE + 1, 1 << 24])
def test_an_index_that_says_another_size_is_refused(said: int) -> None:
    block = xz.pack_block(bytes(SIZE), 0)
    with pytest.raises(InspectError, match=r"^disk\.xz: xz frame at byte 0: "):
        expanded(forged(block._replace(uncompressed_size=said)))


@pytest.mark.parametrize("said", [0, 3, 1 << 20, 1 << 62])
def test_an_index_that_says_another_packed_size_is_refused(said: int) -> None:
    block = xz.pack_block(bytes(SIZE), 0)
    with pytest.raises(InspectError, match=r"^disk\.xz: "):
        expanded(forged(block._replace(unpadded_size=said)))


@pytest.mark.parametrize("count", [1, 100, 1 << 62])
def test_an_index_of_more_blocks_than_it_has_is_refused(count: int) -> None:
    data = packed()
    start = index_of(data)
    index = bytearray(data[start:-12])
    records = bytes(index[2:-4])
    said = b"\0" + xz._integer(count) + records  # pyright: ignore[reportPrivateUsage]
    said += bytes(-len(said) % 4)
    said += xz._crc(said)  # pyright: ignore[reportPrivateUsage]
    footer = (len(said) // 4 - 1).to_bytes(4, "little") + data[-4:-2]
    forgery = data[:start] + said + xz._crc(footer) + footer + b"YZ"  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(InspectError, match=r"^disk\.xz: "):
        expanded(forgery)
