"""A frame's steps are told without expanding it, and expand to what they may at the most."""

from __future__ import annotations

import itertools
import random

import pytest
import zstandard

from ci.inspect import zstd
from ci.inspect.compression import Frame, expand
from ci.inspect.context import Context
from ci.inspect.errors import CorruptFileError, TruncatedFileError
from ci.inspect.limits import CHUNK
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
