"""A frame's steps are told without expanding it, and expand to what they may at the most."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
import zstandard

from ci.inspect import zstd
from ci.inspect.compression import Frame, expand
from ci.inspect.context import Context
from ci.inspect.errors import CorruptFileError, LimitExceededError, TruncatedFileError
from ci.inspect.limits import CHUNK, LIMITS
from ci.inspect.source import BytesSource

CONTENT = {
    "nothing": b"",
    "a byte": b"x",
    "zeros": bytes(40 * CHUNK + 5),
    "text": b"some text, and more; " * 400_000,
    "chance": random.Random(1).randbytes(3 * CHUNK + 7),
}


def packed(content: bytes, *, checksum: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=checksum).compress(content)


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("name", CONTENT)
def test_steps_are_the_frame_and_none_expands_to_more(name: str, *, checksum: bool) -> None:
    frame = packed(CONTENT[name], checksum=checksum)
    source = BytesSource("file", b"before" + frame + b"behind")
    found = list(zstd.steps(source, 6, CHUNK))
    assert [found[0][0], found[-1][1]] == [6, 6 + len(frame)]
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(found))
    expander = zstandard.ZstdDecompressor().decompressobj()
    pieces = [expander.decompress(source.read_at(start, end - start, "a step")) for start, end in found]
    assert b"".join(pieces) == CONTENT[name]
    assert max(map(len, pieces)) <= CHUNK
    assert zstd.frame_end(source, 6) == 6 + len(frame)


@pytest.mark.parametrize("name", CONTENT)
def test_frames_after_one_another_are_one_content(name: str) -> None:
    source = BytesSource("file", packed(CONTENT[name]) + packed(b"more"))
    assert b"".join(expand(source, "zstd", Context())) == CONTENT[name] + b"more"


class Read(BytesSource):
    """Counts what is read for a decompressor."""

    def __init__(self, data: bytes) -> None:
        super().__init__("file", data)
        self.steps = 0

    def read_at(self, offset: int, length: int, what: str) -> bytes:
        self.steps += what == "zstd blocks"
        return super().read_at(offset, length, what)


def test_a_short_frame_that_is_repeated_is_expanded_once() -> None:
    hole, data = packed(bytes(CHUNK)), packed(CONTENT["text"][:CHUNK])
    source = Read(data + hole * 50 + data + hole * 50)
    expected = CONTENT["text"][:CHUNK] + bytes(50 * CHUNK)
    assert b"".join(expand(source, "zstd", Context())) == expected * 2
    assert source.steps < 20


def test_a_frame_that_is_not_quite_the_one_before_is_read() -> None:
    hole, other = packed(bytes(CHUNK)), packed(b"\1" + bytes(CHUNK - 1))
    damaged = hole[:-1] + bytes([hole[-1] ^ 1])
    assert b"".join(expand(BytesSource("file", hole + hole + other), "zstd", Context()))[2 * CHUNK] == 1
    with pytest.raises(CorruptFileError):
        list(expand(BytesSource("file", hole + hole + damaged), "zstd", Context()))
    with pytest.raises(TruncatedFileError):
        list(expand(BytesSource("file", hole + hole + hole[:-1]), "zstd", Context()))


def test_what_is_repeated_counts_against_the_limit() -> None:
    limits = dataclasses.replace(LIMITS, expanded=10 * CHUNK)
    with pytest.raises(LimitExceededError, match="expands to more than"):
        list(expand(BytesSource("file", packed(bytes(CHUNK)) * 11), "zstd", Context(limits)))


@pytest.mark.parametrize("length", [1, 4, 5, 10, 20, 50, -1, -4, -5])
def test_a_frame_that_is_cut_short_says_so(length: int) -> None:
    source = BytesSource("file", packed(CONTENT["text"])[:length])
    with pytest.raises(TruncatedFileError, match=f"the file ends at {source.size} inside it"):
        list(zstd.steps(source, 0, CHUNK))


def test_a_damaged_checksum_is_found() -> None:
    data = bytearray(packed(CONTENT["text"]))
    data[-1] ^= 1
    with pytest.raises(CorruptFileError, match="checksum"):
        list(Frame(BytesSource("file", bytes(data)), 0, "zstd", Context()).chunks())
