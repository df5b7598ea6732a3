"""File systems of the real mkfs.xfs and of the kernel, read without either; broken ones end in typed errors."""

from __future__ import annotations

import json
import os
import random
import stat
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.inspect.context import Context
from ci.inspect.crc32c import crc32c
from ci.inspect.errors import CorruptFileError, InspectError, LimitExceededError, UnsupportedFileError
from ci.inspect.limits import MIB, Limits
from ci.inspect.source import open_file
from ci.inspect.xfs import Xfs
from tests.unit.inspect import xfs_samples
from tests.unit.inspect.samples import sha
from tests.unit.inspect.xfs_samples import NAMES, Tree, sparse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci.inspect.xfs import XfsFile


def listed(path: Path, limits: Limits | None = None) -> dict[str, tuple[XfsFile, str | None]]:
    """Return every name with the digest of its content, all of it read."""
    with open_file(path) as source:
        xfs = Xfs(source, Context(limits or Limits()))
        return {file.path: (file, xfs.open(file).sha256() if file.type == "file" else None) for file in xfs.walk()}


def flat(tree: Tree, above: str = "") -> Iterator[tuple[str, bytes | str | None]]:
    for name, value in tree.items():
        yield f"{above}{name}", None if isinstance(value, dict) else value
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}/")


def test_checksum_is_castagnolis() -> None:
    # RFC 3720, appendix B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283


def test_the_partition_boot_is_read_as_talos_makes_it(tmp_path: Path) -> None:
    found = listed(sparse("boot", tmp_path / "boot"))
    assert {path: (file.type, file.size, digest) for path, (file, digest) in found.items()} == {
        "A": ("directory", 0, None),
        "A/vmlinuz": ("file", 6, sha(b"kernel")),
        "A/initramfs.xz": ("file", 9, sha(b"initramfs")),
        "B": ("directory", 0, None),
        "grub": ("directory", 0, None),
        "grub/grub.cfg": ("file", 4, sha(b"menu")),
    }


@pytest.mark.parametrize("name", ["names", "names-1k", "names-new"])
def test_directories_of_every_form_are_listed_whole(tmp_path: Path, name: str) -> None:
    found = listed(sparse(name, tmp_path / name))
    expected = dict(flat(NAMES))
    assert set(found) == set(expected)
    for path, value in expected.items():
        file, digest = found[path]
        if value is None:
            assert (file.type, file.mode, file.uid, file.gid) == ("directory", 0o755, 0, 0)
        elif isinstance(value, str):
            assert (file.type, file.target) == ("symlink", value)
        else:
            assert (file.type, file.mode, file.size, digest) == ("file", 0o644, len(value), sha(value)), path
            assert (file.uid, file.gid) == (7, 8)


@pytest.mark.parametrize("name", ["kernel", "kernel-4k"])
def test_what_the_kernel_wrote_is_read_as_the_kernel_lists_it(tmp_path: Path, name: str) -> None:
    listing = json.loads((xfs_samples.FOLDER / f"{name}.json").read_text())
    found = listed(sparse(name, tmp_path / name))
    assert {
        path: [file.mode, file.uid, file.gid, file.mtime, file.size, digest or file.target]
        for path, (file, digest) in found.items()
    } == {path: [stat.S_IMODE(values[0]), *values[1:]] for path, values in listing.items()}
    assert {file.type for file, _ in found.values()} == {"file", "directory", "symlink", "fifo", "character"}


def test_a_file_of_many_groups_is_read_from_its_tree_of_extents(tmp_path: Path) -> None:
    path = sparse("large", tmp_path / "large")
    with open_file(path) as source:
        xfs = Xfs(source, Context())
        files = {file.path: file for file in xfs.walk()}
        large = xfs.open(files["large"])
        assert large.size == 440 * MIB
        for at in (0, 16 * MIB, 17 * MIB - 65536, 439 * MIB):
            assert large.read_at(at, 65536, "a part") == f"large@{at}\n".encode().ljust(65536, b"\0")
        assert xfs.open(files["small"]).read_at(0, 5000, "all") == random.Random(1).randbytes(5000)


def test_times_before_64_bits_are_read(tmp_path: Path) -> None:
    (file, digest), *_ = listed(sparse("old-times", tmp_path / "old")).values()
    assert digest == sha(b"x")
    assert 1_700_000_000 < file.mtime < 2_000_000_000


def test_metadata_keep_the_uuid_that_they_were_made_with(tmp_path: Path) -> None:
    assert len(listed(sparse("changed-uuid", tmp_path / "uuid"))) == 62


def refused(path: Path, limits: Limits | None = None) -> InspectError:
    with pytest.raises(InspectError) as caught:
        listed(path, limits)
    assert str(caught.value).startswith(str(path))
    assert caught.value.reason
    return caught.value


def test_version_4_is_refused_with_the_reason(tmp_path: Path) -> None:
    error = refused(sparse("version-4", tmp_path / "old"))
    assert isinstance(error, UnsupportedFileError)
    assert "XFS of version 4, which has no checksums: only 5 is read" in str(error)


def edited(path: Path, offset: int, value: bytes, *, block: tuple[int, int, int] | None = None) -> Path:
    """Overwrite some bytes; with `block` (offset, size, place of its checksum) the checksum is made true again."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
        if block:
            start, size, at = block
            file.seek(start)
            data = bytearray(file.read(size))
            data[at : at + 4] = bytes(4)
            file.seek(start + at)
            file.write(struct.pack("<I", crc32c(bytes(data))))
    return path


SUPERBLOCK = (0, 512, 224)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (4, struct.pack(">I", 3000), "its sizes do not fit one another"),
        (104, struct.pack(">H", 64), "its sizes do not fit one another"),
        (120, b"\x3f", "its sizes do not fit one another"),
        (192, b"\x20", "its sizes do not fit one another"),
        (84, bytes(4), "blocks in 4 groups of 0"),
        (88, b"\xff\xff\xff\xff", "blocks in 4294967295 groups"),
        (124, b"\x1f", "groups of"),
        (8, struct.pack(">Q", 1 << 60), "1152921504606846976 blocks in"),
        (216, struct.pack(">I", 1 << 31), "the unknown features 0x80000000"),
        (216, struct.pack(">I", 0b1_0011), "in need of xfs_repair"),
        (56, struct.pack(">Q", 1 << 60), "which does not exist"),
        (56, struct.pack(">Q", 132), "root: has the mode"),
    ],
)
def test_a_superblock_that_lies_is_refused(tmp_path: Path, offset: int, value: bytes, words: str) -> None:
    assert words in str(refused(edited(sparse("boot", tmp_path / "boot"), offset, value, block=SUPERBLOCK)))


def test_a_superblock_of_another_checksum_is_refused(tmp_path: Path) -> None:
    assert "superblock: its checksum is wrong" in str(refused(edited(sparse("boot", tmp_path / "b"), 108, b"OTHER")))


def first(name: str, magic: bytes) -> int:
    """Return where the first block begins that has a magic number."""
    return next(at for at, data in xfs_samples.pieces(name) if data.startswith(magic))


def inode_of(path: Path, name: str) -> tuple[int, int, int]:
    """Return where a file's inode is (offset, size, place of its checksum)."""
    with open_file(path) as source:
        number = next(file.inode.number for file in Xfs(source, Context()).walk() if file.path == name)
    raw = struct.pack(">Q", number)
    return (
        next(at for at, data in xfs_samples.pieces(path.name) if data[:2] == b"IN" and data[152:160] == raw),
        512,
        100,
    )


@pytest.mark.parametrize(
    ("name", "field", "value", "words"),
    [
        ("few/a", 0, b"XX", "no inode of version 3"),
        ("few/a", 4, b"\x02", "no inode of version 3"),
        ("few/a", 2, b"\xf1\xa4", "the unknown mode"),
        ("few/a", 5, b"\x00", "content of the unknown format 0"),
        ("few/a", 5, b"\x03", "a tree of extents with"),
        ("few/a", 56, b"\x7f" * 8, "a file of 9187201950435737471 bytes"),
        ("few/a", 24, b"\xff" * 8, "18446744073709551615 extents in"),
        ("few/a", 82, b"\xff", "its attributes begin behind its end"),
        ("few/a", 90, b"\x00\x01", "a file on a realtime device"),
        ("few/a", 152, bytes(8), "its number or file system is another one"),
        ("few/a", 160, bytes(16), "its number or file system is another one"),
        ("few/a", 176, b"\0" * 12 + b"\xff\xff\xff\xff", "which does not exist"),
        ("few/a", 176, bytes(16), "its extents overlap or are empty"),
        ("few", 176, b"\xff", "a name runs past its end"),
        ("few", 56, bytes(7) + b"\xff", "its names end at"),
        ("few", 56, bytes(6) + b"\xff\xff", "65535 bytes in an inode"),
        ("few", 185, b"/", "the name '/'"),
        ("some", 5, b"\x01", "bytes in an inode that holds"),
        ("long/é" + "é" * 99, 56, bytes(8), "a link of 0 bytes"),
    ],
)
def test_an_inode_that_lies_is_refused(tmp_path: Path, name: str, field: int, value: bytes, words: str) -> None:
    path = sparse("names", tmp_path / "names")
    block = inode_of(path, name)
    assert words in str(refused(edited(path, block[0] + field, value, block=block)))


def test_every_kind_of_metadata_is_held_against_its_checksum(tmp_path: Path) -> None:
    for name, magic, at in [
        ("names", b"XDB3", 70),
        ("names", b"XDD3", 70),
        ("names-1k", b"XDD3", 5000),
        ("names-new", b"XSLM", 80),
        ("kernel", b"BMA3", 80),
        ("large", b"BMA3", 80),
    ]:
        path = sparse(name, tmp_path / name)
        place = first(name, magic)
        assert isinstance(refused(edited(path, place + at, b"\x5a\xa5\x5a")), CorruptFileError), (name, magic)
        path.unlink()


@pytest.mark.parametrize(
    ("name", "magic", "size", "checksum", "field", "value", "words"),
    [
        ("names", b"XDB3", 4096, 4, 40, bytes(8), "belongs to another directory"),
        ("names", b"XDB3", 4096, 4, 24, bytes(16), "belongs to another directory"),
        ("names", b"XDB3", 4096, 4, 64 + 8, b"\xff", "no name at 64"),
        ("names", b"XDB3", 4096, 4, 64, b"\xff\xff\x00\x00", "0 unused bytes at 64"),
        ("names", b"XDB3", 4096, 4, 4088, b"\xff\xff\xff\xff", ""),
        ("names", b"XDD3", 4096, 4, 0, b"XDL3", "no block of names but b'XDL3'"),
        ("large", b"BMA3", 4096, 64, 4, b"\x00\x01", "no block of its tree of extents"),
        ("large", b"BMA3", 4096, 64, 6, b"\xff\xff", "no block of its tree of extents"),
        ("large", b"BMA3", 4096, 64, 6, b"\x00\x01", "extents are claimed, 1 are there"),
        ("large", b"BMA3", 4096, 64, 56, bytes(8), "belongs to another file"),
        ("large", b"BMA3", 4096, 64, 24, bytes(8), "belongs to another file"),
        ("names", b"XSLM", 4096, 12, 32, bytes(8), "belongs to another file"),
        ("names", b"XSLM", 4096, 12, 8, b"\xff" * 4, "no part of a link"),
        ("names", b"XSLM", 4096, 12, 8, b"\0\0\0\1", "a link of 901 bytes, 1 are there"),
    ],
)
def test_a_block_that_lies_under_a_true_checksum_is_refused(
    tmp_path: Path, name: str, magic: bytes, size: int, checksum: int, field: int, value: bytes, words: str
) -> None:
    path = sparse(name, tmp_path / name)
    at = first(name, magic)
    assert words in str(refused(edited(path, at + field, value, block=(at, size, checksum))))


def test_a_directory_that_contains_itself_is_refused(tmp_path: Path) -> None:
    path = sparse("names", tmp_path / "names")
    block = inode_of(path, "deep/a/b")
    with open_file(path) as source:
        numbers = {file.path: file.inode.number for file in Xfs(source, Context()).walk()}
    # Its one entry's inode, in the last four bytes of the short form.
    with path.open("rb") as file:
        data = os.pread(file.fileno(), block[1], block[0])
    at = block[0] + data.index(struct.pack(">I", numbers["deep/a/b/c"]), 176)
    error = refused(edited(path, at, struct.pack(">I", numbers["deep/a"]), block=block))
    assert "a directory that is in two places" in str(error)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(entries=1000), "more than 1000 names"),
        (Limits(depth=5), "deeper than 5"),
        (Limits(checked=200_000), "more than 200000 bytes of metadata"),
        (Limits(expanded=10_000), "a file of 100000 bytes"),
    ],
)
def test_reading_ends_at_the_limits(tmp_path: Path, limits: Limits, words: str) -> None:
    error = refused(sparse("names", tmp_path / "names"), limits)
    assert isinstance(error, LimitExceededError)
    assert words in str(error)


@pytest.mark.parametrize("name", ["boot", "names-1k", "kernel"])
def test_a_file_system_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    path = sparse(name, tmp_path / name)
    size = path.stat().st_size
    for part in (0, 100, 300, 600, 70_000, size // 2, size - 1):
        with path.open("r+b") as file:
            file.truncate(part)
        assert isinstance(refused(path), CorruptFileError)


@pytest.mark.parametrize("name", ["boot", "names-1k", "kernel", "kernel-4k"])
def test_bytes_overwritten_anywhere_give_a_typed_error_or_none(tmp_path: Path, name: str) -> None:
    """Checksums are taken for true here, so that the readers behind them see what was overwritten."""
    path = sparse(name, tmp_path / name)
    hot = [at for at, _ in xfs_samples.pieces(name)]
    inodes = [at for at, data in xfs_samples.pieces(name) if data[:2] == b"IN"]
    reasons: list[str] = []

    def believed(raw: bytes, at: int) -> bool:
        return len(raw) > at

    @settings(
        derandomize=True,
        max_examples=80,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        edits=st.lists(
            st.tuples(st.booleans(), st.integers(0, 10**6), st.integers(0, 511), st.binary(min_size=1, max_size=8)),
            min_size=1,
            max_size=5,
        )
    )
    def run(edits: list[tuple[bool, int, int, bytes]]) -> None:
        saved: list[tuple[int, bytes]] = []
        with path.open("r+b") as file:
            for in_inode, number, inside, value in edits:
                places = inodes if in_inode else hot
                at = places[number % len(places)] + inside
                file.seek(at)
                saved.append((at, file.read(len(value))))
                file.seek(at)
                file.write(value)
            file.flush()
            try:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("ci.inspect.xfs.checksum_is_right", believed)
                    patch.setattr("ci.inspect.xfs_superblock.checksum_is_right", believed)
                    with open_file(path) as source:
                        xfs = Xfs(source, Context(Limits(entries=5000)))
                        for found in xfs.walk():
                            if found.type == "file":
                                xfs.open(found).read_up_to(0, 4096)
            except InspectError as error:
                reasons.append(error.reason)
            finally:
                for at, value in reversed(saved):
                    file.seek(at)
                    file.write(value)

    run()
    assert reasons
    assert all(reasons)
