"""cpio as the kernel takes it: what it would refuse or read otherwise is not read as something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.inspect.errors import CorruptFileError, InspectError, LimitExceededError
from ci.inspect.inspect import inspect_path
from ci.inspect.models import InitramfsFacts, SquashfsFacts
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path

    from ci.inspect.models import Entry, Inspection

NAMES = ("inode", "mode", "uid", "gid", "links", "mtime", "size", *("0",) * 4, "name_size", "checksum")


def entry(name: bytes, data: bytes = b"", magic: bytes = b"070701", **fields: int | bytes) -> bytes:
    """A member; a field may be given as its eight bytes."""
    values = {"mode": 0o100644, "links": 1, "size": len(data), "name_size": len(name), **fields}
    digits = [values.get(field, 0) for field in NAMES]
    out = magic + b"".join(each if isinstance(each, bytes) else b"%08x" % each for each in digits) + name
    return out + bytes(-len(out) % 4) + data + bytes(-len(data) % 4)


TRAILER = entry(b"TRAILER!!!\0", mode=0)


def read(tmp_path: Path, data: bytes) -> Inspection:
    (tmp_path / "initramfs").write_bytes(data)
    return inspect_path(tmp_path / "initramfs")


def entries(found: Inspection) -> dict[str, Entry]:
    assert isinstance(found.facts, InitramfsFacts)
    return {entry.path: entry for frame in found.facts.frames for entry in frame.entries}


def refused(tmp_path: Path, data: bytes) -> InspectError:
    with pytest.raises(InspectError) as caught:
        read(tmp_path, data)
    return caught.value


@pytest.mark.parametrize(
    "digits",
    [
        b"+0000001",
        b"-0000001",
        b"0000_001",
        b" 0000001",
        b"0000001 ",
        b"0x000001",
        b"0000001\n",
        b"0000001g",
        b"\xd9\xa0" * 4,
    ],
)
@pytest.mark.parametrize("field", ["mode", "size", "mtime", "checksum"])
def test_a_field_is_eight_hexadecimal_digits(tmp_path: Path, field: str, digits: bytes) -> None:
    assert len(digits) == 8
    error = refused(tmp_path, entry(b"a\0", b"x", **{field: digits}) + TRAILER)
    assert "a header field is no hexadecimal number" in str(error)


def test_digits_of_either_case_are_read(tmp_path: Path) -> None:
    found = entries(read(tmp_path, entry(b"a\0", mtime=b"0000aBcD") + TRAILER))
    assert found["a"].mtime == 0xABCD


def test_a_name_ends_with_a_nul(tmp_path: Path) -> None:
    error = refused(tmp_path, entry(b"abcd") + TRAILER)
    assert "the name b'abcd' does not end with a NUL" in str(error)


@pytest.mark.parametrize(("size", "good"), [(4096, True), (4097, False)])
def test_a_link_is_no_longer_than_a_path(tmp_path: Path, size: int, *, good: bool) -> None:
    data = entry(b"a\0", b"x" * size, mode=0o120777) + TRAILER
    if good:
        assert entries(read(tmp_path, data))["a"].target == "x" * size
    else:
        assert isinstance(refused(tmp_path, data), LimitExceededError)


@pytest.mark.parametrize("zeros", [1, 2, 3, 5])
def test_an_archive_begins_at_a_multiple_of_four_bytes(tmp_path: Path, zeros: int) -> None:
    archive = entry(b"a\0") + TRAILER
    assert isinstance(refused(tmp_path, archive + bytes(zeros) + archive), CorruptFileError)
    assert isinstance(refused(tmp_path, samples.zstd(archive + bytes(zeros) + archive)), CorruptFileError)
    packed = samples.zstd(archive)
    shift = bytes((zeros - len(packed)) % 4)
    assert isinstance(refused(tmp_path, packed + shift + archive), CorruptFileError)
    assert set(entries(read(tmp_path, archive + bytes(4 * zeros) + archive))) == {"a"}


def test_a_sum_is_looked_at_where_the_header_has_one(tmp_path: Path) -> None:
    good = entry(b"a\0", b"\1\2\3", b"070702", checksum=6)
    assert entries(read(tmp_path, good + TRAILER))["a"].size == 3
    bad = entry(b"a\0", b"\1\2\3", b"070702", checksum=7)
    assert "the sum of its bytes is not the header's" in str(refused(tmp_path, bad + TRAILER))
    # Without a sum the field is nobody's business.
    assert entries(read(tmp_path, entry(b"a\0", b"\1\2\3", checksum=7) + TRAILER))["a"].size == 3


@pytest.mark.parametrize("holder", [0, 1, 2])
def test_names_of_one_file_have_its_content_whichever_brings_it(tmp_path: Path, holder: int) -> None:
    content = samples.elf("amd64", b"init")
    members = [
        entry(name, content if number == holder else b"", inode=7, links=3)
        for number, name in enumerate([b"init\0", b"sbin/init\0", b"bin/sh\0"])
    ]
    other = entry(b"empty\0", inode=8, links=1)
    found = entries(read(tmp_path, b"".join(members) + other + TRAILER))
    for path in ("init", "sbin/init", "bin/sh"):
        assert (found[path].size, found[path].sha256, found[path].machine) == (
            len(content),
            samples.sha(content),
            "amd64",
        )
    assert found["empty"].size == 0


def test_one_inode_in_two_archives_is_two_files(tmp_path: Path) -> None:
    one = entry(b"a\0", inode=7, links=2) + TRAILER
    found = entries(read(tmp_path, one + entry(b"b\0", b"x", inode=7, links=2) + TRAILER))
    assert (found["a"].size, found["b"].size) == (0, 1)


def test_an_image_under_two_names_is_read_under_both(tmp_path: Path) -> None:
    image = samples.squashfs([File("a", b"b")])
    data = entry(b"0.sqsh\0", inode=7, links=2) + entry(b"1.sqsh\0", image, inode=7, links=2) + TRAILER
    found = read(tmp_path, data)
    assert sorted(node.name for node in found.contents) == ["0.sqsh", "1.sqsh"]
    assert all(isinstance(node.facts, SquashfsFacts) for node in found.contents)
