"""VMDK and OVA, of qemu-img's and of this project's, read as the raw disk that was put in."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.common.arch import Arch
from ci.inspect.context import Context
from ci.inspect.errors import InspectError, LimitExceededError
from ci.inspect.inspect import inspect_path
from ci.inspect.limits import Limits
from ci.inspect.models import ArchiveFacts, DiskFacts
from ci.inspect.source import BytesSource
from ci.inspect.vmdk import Vmdk
from ci.steps.disks.ova import write_ova
from ci.steps.disks.vmdk import write_vmdk
from ci.steps.normalise.pack import Packing, pack
from tests.unit.inspect import samples
from tests.unit.inspect.test_virtual_disk import DISK, LOADER, stored

if TYPE_CHECKING:
    from pathlib import Path

#: What qemu-img 7.2 made of `DISK` (subformat=streamOptimized, monolithicSparse).
NAMES = ("stream.vmdk", "sparse.vmdk")
#: A disk of whole sectors.
WHOLE = DISK.ljust(-(-len(DISK) // 512) * 512, b"\0")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("made")
    (folder / "raw").write_bytes(WHOLE)
    write_vmdk(folder / "raw", folder / "vmdk")
    write_ova(folder / "raw", folder / "ova", 1_700_000_000, "talos", Arch.ARM64)
    pack(folder / "raw", folder / "tar", Packing.TAR, 1_700_000_000)
    return {name: (folder / name).read_bytes() for name in ("vmdk", "ova", "tar")}


def vmdk(made: dict[str, bytes], name: str) -> bytes:
    return made["vmdk"] if name == "vmdk" else stored(name)


@pytest.mark.parametrize("name", [*NAMES, "vmdk"])
def test_the_disk_in_a_vmdk_is_the_one_that_was_converted(name: str, made: dict[str, bytes]) -> None:
    disk = Vmdk(BytesSource(name, vmdk(made, name)), Context())
    assert disk.size == len(WHOLE)
    assert b"".join(disk.chunks()) == WHOLE
    for at, length in ((0, 1), (65_530, 20), (1 << 20, 100_000), (len(DISK) - 3, 3)):
        assert disk.read_at(at, length, "a part") == DISK[at : at + length]
    hole = DISK.index(LOADER.data) + 400_000  # in META
    assert disk.next_data(hole) > hole + (2 << 20)
    assert disk.next_data(1 << 20) == 1 << 20


def look(path: Path, data: bytes) -> DiskFacts:
    (path / "raw").write_bytes(WHOLE)
    (path / "disk").write_bytes(data)
    found, raw = inspect_path(path / "disk"), inspect_path(path / "raw")
    assert isinstance(found.facts, DiskFacts)
    assert isinstance(raw.facts, DiskFacts)
    assert found.facts.partitions == raw.facts.partitions
    assert found.facts.start == raw.facts.start
    assert found.facts.capacity == raw.facts.capacity
    assert [(node.name, node.kind, node.sha256) for node in found.contents] == [
        (LOADER.path, "efi", samples.sha(LOADER.data))
    ]
    return found.facts


@pytest.mark.parametrize("name", [*NAMES, "vmdk"])
@pytest.mark.parametrize("packing", ["none", "xz"])
def test_a_vmdk_is_looked_into_as_a_raw_disk(tmp_path: Path, name: str, packing: str, made: dict[str, bytes]) -> None:
    data = vmdk(made, name)
    facts = look(tmp_path, data if packing == "none" else samples.xz(data))
    assert (facts.format, facts.compression) == ("vmdk", packing)


def test_an_ova_is_looked_into_as_a_raw_disk(tmp_path: Path, made: dict[str, bytes]) -> None:
    facts = look(tmp_path, made["ova"])
    assert (facts.format, facts.compression) == ("ova", "none")


def test_googles_tar_is_looked_into_as_a_raw_disk(tmp_path: Path, made: dict[str, bytes]) -> None:
    facts = look(tmp_path, made["tar"])
    assert (facts.format, facts.compression) == ("tar", "gzip")


def at(data: bytes, place: int, value: bytes) -> bytes:
    place %= len(data)
    return data[:place] + value + data[place + len(value) :]


STREAM = stored("stream.vmdk")
SPARSE = stored("sparse.vmdk")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (at(STREAM, 4, struct.pack("<I", 9)), "version 9, 1 to 3 are known"),
        (at(STREAM, 20, struct.pack("<Q", 127)), "grains of 127 sectors"),
        (at(STREAM, 20, struct.pack("<Q", 0)), "grains of 0 sectors"),
        (at(STREAM, 20, struct.pack("<Q", 1 << 40)), "grains of 1099511627776 sectors"),
        (at(STREAM, 44, struct.pack("<I", 4)), "4 in a table"),
        (at(STREAM, 77, struct.pack("<H", 7)), "the unknown compression 7"),
        (at(SPARSE, 12, struct.pack("<Q", 1 << 60)), "1152921504606846976 sectors in"),
        (at(SPARSE, 28, struct.pack("<QQ", 1, 1 << 50)), "VMDK header"),
        (at(SPARSE, 28, struct.pack("<QQ", 1 << 50, 1)), "the VMDK's descriptor needs"),
        (at(SPARSE, 56, struct.pack("<Q", 1 << 50)), "the VMDK's directory needs"),
        (at(SPARSE, 56, struct.pack("<Q", (1 << 64) - 1)), "no VMDK header where the footer should be"),
        (STREAM[:60], "the VMDK header needs"),
        (STREAM[: len(STREAM) // 3], ""),
        (SPARSE.replace(b"parentCID=ffffffff", b"parentCID=00000001"), "it is based on another file"),
        (STREAM.replace(b'"streamOptimized"', b'"twoGbMaxExtents"'), "its type is 'twoGbMaxExtents', and"),
    ],
)
def test_a_vmdk_that_lies_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    assert data not in (STREAM, SPARSE)
    (tmp_path / "disk").write_bytes(data)
    with pytest.raises(InspectError) as caught:
        inspect_path(tmp_path / "disk")
    assert words in str(caught.value)


def first_grain(data: bytes) -> int:
    """Return where the first grain's marker is: behind the header's sectors."""
    return int(struct.unpack_from("<Q", data, 64)[0]) * 512


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, struct.pack("<Q", 1 << 20), "its marker says sector 1048576"),
        (8, struct.pack("<I", 1 << 30), "1073741824 bytes packed"),
        (20, bytes(30), "grain at byte"),
    ],
)
def test_a_grain_that_lies_is_refused(
    tmp_path: Path, place: int, value: bytes, words: str, made: dict[str, bytes]
) -> None:
    data = made["vmdk"]
    (tmp_path / "disk").write_bytes(at(data, first_grain(data) + place, value))
    with pytest.raises(InspectError, match=words):
        inspect_path(tmp_path / "disk")


def test_a_vmdk_without_a_partition_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"x" * 4096)
    write_vmdk(tmp_path / "raw", tmp_path / "disk")
    with pytest.raises(InspectError, match="VMDK: the disk in it has no GUID partition table"):
        inspect_path(tmp_path / "disk")


def test_what_grains_expand_to_is_limited(tmp_path: Path, made: dict[str, bytes]) -> None:
    (tmp_path / "disk").write_bytes(made["vmdk"])
    with pytest.raises(LimitExceededError, match="expands to more than 100000 bytes"):
        inspect_path(tmp_path / "disk", Limits(expanded=100_000))


@pytest.mark.parametrize("name", ["vmdk", "ova", *NAMES])
def test_bytes_overwritten_give_a_typed_error_or_none(tmp_path: Path, name: str, made: dict[str, bytes]) -> None:
    good = made[name] if name in made else stored(name)
    path, words = tmp_path / "disk", list[str]()

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
            place = position % (112 if position % 3 else len(data))
            data[place : place + len(value)] = value[: len(data) - place]
        path.write_bytes(bytes(data))
        try:
            inspect_path(path)
        except InspectError as error:
            words.append(error.reason)

    run()
    assert words
    assert all(words)


# OVA


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpacked(ova: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(ova)) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def manifest(files: dict[str, bytes], kind: str = "sha256") -> bytes:
    lines = (f"{kind.upper()}({name})= {hashlib.new(kind, data).hexdigest()}\n" for name, data in files.items())
    return "".join(lines).encode()


def variation(ova: bytes, change: str) -> dict[str, bytes]:
    files = unpacked(ova)
    ovf, disk = files["talos.ovf"], files["talos-disk1.vmdk"]
    match change:
        case "another disk":
            files["talos-disk1.vmdk"] = at(disk, 600, b"#")
        case "another description":
            files["talos.ovf"] = ovf + b"\n"
        case "no disk":
            del files["talos-disk1.vmdk"]
        case "a manifest of a file that is not there":
            files["talos.mf"] += b"SHA256(other)= 00\n"
        case "a manifest of words":
            files["talos.mf"] = b"all is well\n"
        case "two disks":
            second = b'<ovf:File ovf:href="b.vmdk" ovf:id="file2"/></ovf:References>'
            files = {"talos.ovf": ovf.replace(b"</ovf:References>", second), "talos-disk1.vmdk": disk, "b.vmdk": disk}
        case "none named":
            files = {"talos.ovf": b"<Envelope/>", "talos-disk1.vmdk": disk}
        case "something else":
            files = {"talos.ovf": ovf, "talos-disk1.vmdk": b"x" * 4096}
        case _:
            raise AssertionError(change)
    return files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("another disk", "the SHA256 of 'talos-disk1.vmdk' is another one"),
        ("another description", "the SHA256 of 'talos.ovf' is another one"),
        ("no disk", "it names 'talos-disk1.vmdk', which is not in the archive"),
        ("a manifest of a file that is not there", "it names 'other', which is not in the archive"),
        ("a manifest of words", "no checksum in the line 'all is well'"),
        ("two disks", "it names 2 disks, and one is read"),
        ("none named", "it names 0 disks, and one is read"),
        ("something else", "its disk is of the kind data"),
    ],
)
def test_an_ova_that_lies_is_refused(tmp_path: Path, change: str, words: str, made: dict[str, bytes]) -> None:
    (tmp_path / "disk").write_bytes(archive(variation(made["ova"], change)))
    with pytest.raises(InspectError) as caught:
        inspect_path(tmp_path / "disk")
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["none", "sha1", "sha512"])
def test_others_manifests_are_read_too(tmp_path: Path, kind: str, made: dict[str, bytes]) -> None:
    files = unpacked(made["ova"])
    del files["talos.mf"]
    if kind != "none":
        files["talos.mf"] = manifest(files, kind)
    assert look(tmp_path, archive(files)).format == "ova"


def test_a_description_too_long_is_refused(tmp_path: Path, made: dict[str, bytes]) -> None:
    (tmp_path / "disk").write_bytes(made["ova"])
    with pytest.raises(LimitExceededError, match=r"a text of \d+ bytes \(limit 1000\)"):
        inspect_path(tmp_path / "disk", Limits(text=1000))


def test_a_tar_with_more_than_the_disk_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(archive({"disk.raw": WHOLE, "note.txt": b"hello"}))
    assert isinstance(inspect_path(tmp_path / "tar").facts, ArchiveFacts)
