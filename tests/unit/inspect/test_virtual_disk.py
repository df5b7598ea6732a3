"""Disks that the real qemu-img wrote, read as the raw disk that it was given.

`tests/unit/data/disks` holds them, packed with xz: qemu-img 7.2 (Debian's qemu-utils) converted `DISK` as their names
say.
"""

from __future__ import annotations

import lzma
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.inspect.context import Context
from ci.inspect.errors import InspectError, LimitExceededError
from ci.inspect.inspect import inspect_path
from ci.inspect.models import DiskFacts
from ci.inspect.source import BytesSource
from ci.inspect.virtual_disk import Qcow2
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

FOLDER = Path(__file__).parents[1] / "data" / "disks"
LOADER = File("EFI/boot/BOOTAA64.efi", samples.boot_loader())
#: Holes of several clusters, and a partition that is not compressible.
DISK = sample_media.gpt(
    [
        (sample_media.ESP, "EFI", sample_media.fat([LOADER], 12)),
        (sample_media.LINUX, "META", bytes(3 << 20)),
        (sample_media.LINUX, "STATE", b"".join(samples.sha(b"%d" % number).encode() for number in range(300))),
    ]
)
QCOW2 = ("plain.qcow2", "version-2.qcow2", "zlib.qcow2", "zstd.qcow2")


def stored(name: str) -> bytes:
    return lzma.decompress((FOLDER / f"{name}.xz").read_bytes())


@pytest.mark.parametrize("name", QCOW2)
def test_the_disk_in_a_qcow2_is_the_one_that_was_converted(name: str) -> None:
    disk = Qcow2(BytesSource(name, stored(name)), Context())
    assert disk.size >= len(DISK)
    assert b"".join(disk.chunks()) == DISK.ljust(disk.size, b"\0")
    for at, length in ((0, 1), (65_530, 20), (1 << 20, 100_000), (len(DISK) - 3, 3)):
        assert disk.read_at(at, length, "a part") == DISK[at : at + length]
    hole = DISK.index(LOADER.data) + 400_000  # in META
    assert disk.next_data(hole) > hole + (2 << 20)
    assert disk.next_data(1 << 20) == 1 << 20


@pytest.mark.parametrize("name", [*QCOW2, "fixed.vhd"])
@pytest.mark.parametrize("packing", ["none", "xz"])
def test_a_stored_disk_is_looked_into_as_a_raw_one(tmp_path: Path, name: str, packing: str) -> None:
    data = stored(name)
    (tmp_path / "raw").write_bytes(DISK)
    (tmp_path / "disk").write_bytes(data if packing == "none" else samples.xz(data))
    found, raw = inspect_path(tmp_path / "disk"), inspect_path(tmp_path / "raw")
    assert isinstance(found.facts, DiskFacts)
    assert isinstance(raw.facts, DiskFacts)
    assert (found.facts.format, found.facts.compression) == (name.rpartition(".")[2], packing)
    assert found.facts.partitions == raw.facts.partitions
    assert [(node.name, node.kind, node.sha256) for node in found.contents] == [
        (LOADER.path, "efi", samples.sha(LOADER.data))
    ]
    assert raw.facts.format == "raw"


def changed(name: str, at: int, value: bytes) -> bytes:
    data = stored(name)
    at %= len(data)
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed("plain.qcow2", 4, struct.pack(">I", 9)), "version 9, 2 and 3 are known"),
        (changed("plain.qcow2", 8, struct.pack(">Q", 512)), "it is based on another file"),
        (changed("plain.qcow2", 32, struct.pack(">I", 1)), "it is encrypted"),
        (changed("plain.qcow2", 20, struct.pack(">I", 60)), "clusters of 2^60 bytes"),
        (changed("plain.qcow2", 24, struct.pack(">Q", 1 << 60)), "1152921504606846976 bytes in"),
        (changed("plain.qcow2", 36, struct.pack(">I", 0xFFFFFFFF)), "in 4294967295 tables"),
        (changed("plain.qcow2", 72, struct.pack(">Q", 2)), "it is marked as corrupt"),
        (changed("plain.qcow2", 72, struct.pack(">Q", 4)), "the unknown features 0x4"),
        (changed("plain.qcow2", 40, struct.pack(">Q", 1 << 50)), "the first table needs"),
        (stored("plain.qcow2")[:60], "the qcow2 header needs"),
        (stored("zlib.qcow2")[: len(stored("zlib.qcow2")) // 3], ""),
        (stored("dynamic.vhd")[:512] + DISK[512:] + stored("dynamic.vhd")[-512:], "a disk of dynamic size"),
        (
            stored("dynamic.vhd"),
            (
                "VHD footer: a disk of dynamic size, only those of a fixed size are read: "
                "`qemu-img convert -O raw` makes a raw one of it"
            ),
        ),
        (samples.xz(stored("dynamic.vhd")), "a disk of dynamic size"),
        (stored("dynamic.vhd")[:-512], "the copy of it at the beginning has none at the end"),
        (changed("dynamic.vhd", -512 + 60, struct.pack(">I", 4)), "the differences from another disk"),
        (b"vhdxfile" + bytes(2000), "a VHDX, which is not read: `qemu-img convert -O raw` makes a raw disk of it"),
        (b"COWD" + bytes(2000), "a VMDK of an old format (COWD), which is not read"),
        (b"# Disk DescriptorFile\nversion=1\n", "a VMDK whose disk is in other files, which is not read"),
        (changed("fixed.vhd", -400, b"\1"), "VHD footer: its checksum is wrong"),
        (stored("fixed.vhd")[:-512] + bytes(512) + stored("fixed.vhd")[-512:], "VHD footer: a disk of"),
    ],
)
def test_a_stored_disk_that_lies_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "disk").write_bytes(data)
    with pytest.raises(InspectError) as caught:
        inspect_path(tmp_path / "disk")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", QCOW2)
def test_bytes_overwritten_in_tables_give_a_typed_error_or_none(tmp_path: Path, name: str) -> None:
    good = stored(name)
    path = tmp_path / "disk"

    @settings(
        derandomize=True,
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(edits=st.lists(st.tuples(st.integers(0, 2**32), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
    def run(edits: list[tuple[int, bytes]]) -> None:
        data = bytearray(good)
        for position, value in edits:
            at = position % (112 if position % 3 else len(data))
            data[at : at + len(value)] = value[: len(data) - at]
        path.write_bytes(bytes(data))
        try:
            inspect_path(path)
        except InspectError as error:
            words.append(error.reason)

    words: list[str] = []
    run()
    assert words
    assert all(words)


@pytest.mark.parametrize("name", ["zlib.qcow2", "zstd.qcow2"])
def test_a_cluster_that_expands_without_end_is_refused_at_its_size(name: str) -> None:
    data = bytearray(stored(name))
    disk = Qcow2(BytesSource(name, bytes(data)), Context())
    bits = data[23]
    size = 1 << bits
    cluster = next(n for n in range(disk.size // size) if disk._entry(n) & 1 << 62)  # pyright: ignore[reportPrivateUsage]
    entry = disk._entry(cluster)  # pyright: ignore[reportPrivateUsage]
    endless = bytes(60 << 20)
    if name.startswith("zstd"):  # with a window that the reader takes
        window = zstandard.ZstdCompressionParameters(window_log=bits)
        packer = zstandard.ZstdCompressor(compression_params=window).compressobj()
        bomb = packer.compress(endless) + packer.flush()
    else:
        bomb = zlib.compress(endless, wbits=-15)
    data += bytes(-len(data) % 512)
    at = len(data)
    data += bomb.ljust(2 << bits, b"\0")
    table = bytes(data).index(struct.pack(">Q", entry))
    sectors = (1 << bits - 8) - 1
    data[table : table + 8] = struct.pack(">Q", 1 << 62 | sectors << 62 - (bits - 8) | at)
    disk = Qcow2(BytesSource(name, bytes(data)), Context())
    tracemalloc.start()
    try:
        with pytest.raises(InspectError, match=f"it expands to {size + 1} bytes and not to {size}"):
            disk.read_at(cluster * size, 10, "a part")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_looking_for_holes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.inspect.virtual_disk._MOST_STEPS", 20)
    disk = Qcow2(BytesSource("disk", stored("version-2.qcow2")), Context())
    with pytest.raises(LimitExceededError, match="more than 20 clusters to look at"):
        disk.next_data(DISK.index(LOADER.data) + 400_000)
