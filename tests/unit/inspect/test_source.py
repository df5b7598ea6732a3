"""Files are read as they are, and their holes without being read."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from ci.inspect.errors import TruncatedFileError
from ci.inspect.limits import CHUNK
from ci.inspect.source import BytesSource, PagedSource, is_zeros, open_file

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 20 * CHUNK + 77


class Counting(BytesSource):
    """Bytes that know where they were read."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name, data)
        self.read: list[int] = []

    def _pread(self, offset: int, length: int) -> bytes:
        self.read.append(offset)
        return super()._pread(offset, length)


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A file of 20 MiB that holds something in three places, one at the border of two chunks."""
    chance = random.Random(1)
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for at in (5, 3 * CHUNK - 4096, 17 * CHUNK + 99):
            file.seek(at)
            file.write(chance.randbytes(8192))
        file.truncate(SIZE)
    return path


def test_holes_are_zeros_and_not_read(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    pread = os.pread

    def counted(number: int, length: int, offset: int) -> bytes:
        read.append(offset // CHUNK)
        return pread(number, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    with open_file(sparse) as source:
        assert b"".join(source.chunks()) == sparse.read_bytes()
    assert read == [0, 2, 3, 17, 20]  # the last is too small to ask for


@pytest.mark.parametrize(
    ("offset", "length"), [(0, SIZE), (CHUNK, 5 * CHUNK), (4 * CHUNK, 3 * CHUNK + 1), (SIZE - 1, 1)]
)
def test_any_part_is_what_the_file_has(sparse: Path, offset: int, length: int) -> None:
    with open_file(sparse) as source:
        assert source.read_at(offset, length, "a part") == sparse.read_bytes()[offset : offset + length]


def test_a_file_system_that_knows_of_no_holes_is_read(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "lseek", unknown)
    with open_file(sparse) as source:
        assert b"".join(source.chunks()) == sparse.read_bytes()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_zeros_are_told_from_all_else(size: int) -> None:
    assert is_zeros(bytes(size))
    for at in {0, size // 2, size - 1} if size else ():
        assert not is_zeros(bytes(at) + b"\1" + bytes(size - at - 1))


def test_a_paged_source_reads_once_what_lies_together_and_gives_every_part() -> None:
    content = random.Random(2).randbytes(200_000)
    source = Counting("table", content)
    paged = PagedSource(source)
    for at in range(0, 60_000, 4):
        assert paged.read_at(at, 4, "an entry") == content[at : at + 4]
    assert source.read == [0]
    for at, length in ((65_530, 100), (199_990, 10), (0, 200_000), (5, 3)):
        assert paged.read_at(at, length, "a part") == content[at : at + length]
    with pytest.raises(TruncatedFileError):
        paged.read_at(199_999, 2, "a part")
