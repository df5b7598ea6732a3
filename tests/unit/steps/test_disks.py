"""Disk images in clouds' formats: the same disk, the same bytes from run to run, and what each format's rules say."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
import tarfile
import uuid
import zlib
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from ci.execute import commands
from ci.plan.outputs import DiskFormat
from ci.steps.disks.__main__ import FORMATS, main
from ci.steps.disks.vmdk import GRAIN, SECTOR
from tests.unit.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
SIZE = 150 * MIB
EPOCH = 1_700_000_000
#: What qemu-img calls the formats.
QEMU = {"qcow2": "qcow2", "compressed.qcow2": "qcow2", "vhd": "vpc", "vmdk": "vmdk"}
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 MiB: something at the start, at a grain's border, in the second of three of VMDK's tables, and at the end."""
    path, chance = tmp_path_factory.mktemp("disk") / "talos-arm64.raw", random.Random(11)
    with path.open("wb") as file:
        for at, size in ((0, 300_000), (20 * MIB - 10, 20), (90 * MIB, MIB), (SIZE - 512, 512)):
            file.seek(at)
            file.write(chance.randbytes(size))
        file.seek(100 * MIB)
        file.write(b"compressible" * 100_000)
    return path


def convert(source: Path, form: str, out: Path, *more: str) -> bytes:
    assert main([str(source), str(out), "--format", form, "--epoch", str(EPOCH), *more]) == 0
    return out.read_bytes()


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_formats_are_those_of_the_plan() -> None:
    assert tuple(form.value for form in DiskFormat if form is not DiskFormat.RAW) == FORMATS
    assert {form.value for form in commands.CONVERTERS} == {"qcow2", "compressed.qcow2", "vhd"}


@needs("qemu-img")
@pytest.mark.parametrize("form", QEMU)
def test_qemu_img_finds_the_same_disk(raw: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"disk.{form}"
    convert(raw, form, out)
    assert "Images are identical" in qemu_img("compare", "-f", "raw", "-F", QEMU[form], raw, out)
    if form != "vhd":  # qemu-img has no check for it
        assert "No errors were found" in qemu_img("check", "-f", QEMU[form], out)
    assert f"({SIZE} bytes)" in qemu_img("info", "-f", QEMU[form], out)
    assert out.stat().st_blocks * 512 < 8 * MIB


@needs("qemu-img")
@pytest.mark.parametrize("form", FORMATS)
def test_holes_and_zeros_one_core_and_all_give_one_file(
    raw: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full" / raw.name
    full.parent.mkdir()
    subprocess.run(["cp", "--sparse=never", raw, full], check=True)
    os.utime(full, (1, 1))
    assert full.stat().st_blocks > raw.stat().st_blocks
    one = convert(raw, form, tmp_path / "one")
    for threads in (1, 3):
        monkeypatch.setattr("ci.steps.normalise.pack._cores", lambda count=threads: count)
        assert convert(full, form, tmp_path / "other") == one


@needs("qemu-img")
def test_clusters_of_a_compressed_qcow2_are(raw: Path, tmp_path: Path) -> None:
    plain, packed = (len(convert(raw, form, tmp_path / form)) for form in ("qcow2", "compressed.qcow2"))
    assert packed < plain - 19 * 60_000
    assert "compression type: zlib" in qemu_img("info", tmp_path / "compressed.qcow2")


# VHD, by Microsoft's specification and Azure's rules: fixed, and whole MiB


def footer(vhd: bytes) -> dict[str, object]:
    names = "cookie features version data time creator creator_version host original size geometry type checksum id"
    values = struct.unpack(">8sIIQI4sI4sQQIII16s", vhd[-512:-428])
    return dict(zip(names.split(), values, strict=True))


@needs("qemu-img")
def test_a_vhd_is_as_azure_wants_it(raw: Path, tmp_path: Path) -> None:
    vhd = convert(raw, "vhd", tmp_path / "disk.vhd")
    found = footer(vhd)
    assert (found["cookie"], found["version"], found["type"]) == (b"conectix", 0x10000, 2)
    assert found["data"] == 0xFFFF_FFFF_FFFF_FFFF
    # Of the field that is reserved one bit is always set. The creator is qemu-img's where sizes count, and no geometry.
    assert (found["features"], found["creator"]) == (2, b"qem2")
    assert vhd[-427:] == bytes(427), "no saved state, and nothing else"
    assert found["original"] == found["size"] == SIZE == len(vhd) - 512
    assert SIZE % MIB == 0
    plain = vhd[-512:-448] + bytes(4) + vhd[-444:]
    assert found["checksum"] == ~sum(plain) & 0xFFFFFFFF
    assert vhd[:-512] == raw.read_bytes()


@needs("qemu-img")
def test_time_and_id_of_a_vhd_follow_from_the_build(raw: Path, tmp_path: Path) -> None:
    found = footer(convert(raw, "vhd", tmp_path / "disk.vhd"))
    assert found["time"] == EPOCH - 946_684_800  # since 2000
    identity = found["id"]
    assert isinstance(identity, bytes)
    assert uuid.UUID(bytes=identity).version == 8
    other = tmp_path / "other.raw"
    shutil.copyfile(raw, other)
    with other.open("r+b") as file:
        file.seek(50 * MIB)
        file.write(b"x")
    assert footer(convert(other, "vhd", tmp_path / "other.vhd"))["id"] != identity


def test_a_vhd_of_other_than_whole_mib_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disk.raw").write_bytes(bytes(MIB + 512))
    assert main([str(tmp_path / "disk.raw"), str(tmp_path / "out"), "--format=vhd", "--epoch=0"]) == 1
    assert "a disk of 1049088 bytes: a VHD for Azure has whole MiB" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]


@pytest.mark.parametrize("form", ["qcow2", "vhd"])
def test_what_qemu_img_says_is_told(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "qemu-img"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    (tmp_path / "disk.raw").write_bytes(bytes(MIB))
    assert main([str(tmp_path / "disk.raw"), str(tmp_path / "out"), f"--format={form}", "--epoch=0"]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/disk.raw: qemu-img: no space left\n"
    assert not (tmp_path / "out").exists()


# VMDK, by VMware's specification


HEADER = "<4sIIQQQQIQQQB4sH"


def vmdk_disk(data: bytes) -> bytes:
    """Read a stream-optimized VMDK from its footer and directory."""
    assert data[-512:] == bytes(512), "the end marker"
    assert struct.unpack_from("<QII", data, len(data) - 1536) == (1, 0, 3), "the footer's marker"
    end = struct.unpack_from(HEADER, data, len(data) - 1024)
    capacity, directory = end[3], end[8 + 1]
    disk = bytearray(capacity * SECTOR)
    tables = -(-capacity * SECTOR // (GRAIN * 512))
    for table, place in enumerate(struct.unpack_from(f"<{tables}I", data, directory * SECTOR)):
        assert not place or struct.unpack_from("<QII", data, (place - 1) * SECTOR) == (4, 0, 1)
        for index, grain in enumerate(struct.unpack_from("<512I", data, place * SECTOR) if place else ()):
            if grain:
                sector, size = struct.unpack_from("<QI", data, grain * SECTOR)
                assert sector == (table * 512 + index) * GRAIN // SECTOR
                found = zlib.decompress(data[grain * SECTOR + 12 : grain * SECTOR + 12 + size])
                assert len(found) == GRAIN
                disk[sector * SECTOR : sector * SECTOR + GRAIN] = found
    return bytes(disk[: capacity * SECTOR])


def test_a_vmdk_is_stream_optimized(raw: Path, tmp_path: Path) -> None:
    data = convert(raw, "vmdk", tmp_path / "disk.vmdk")
    (magic, version, flags, capacity, grain, at, size, entries, _, directory, overhead, dirty, lines, packing) = (
        struct.unpack_from(HEADER, data)
    )
    assert (magic, version, flags, capacity * SECTOR, grain) == (b"KDMV", 3, 0x30001, SIZE, 128)
    assert (at, size, entries, overhead, dirty, lines, packing) == (1, 20, 512, 128, 0, b"\n \r\n", 1)
    assert directory == 0xFFFF_FFFF_FFFF_FFFF, "it is at the end"
    footer = struct.unpack_from(HEADER, data, len(data) - 1024)
    assert footer[:9] == struct.unpack_from(HEADER, data)[:9]
    assert vmdk_disk(data) == raw.read_bytes()
    text = data[512 : 512 * 21].rstrip(b"\0").decode("ascii")
    assert 'createType="streamOptimized"\n' in text
    assert f'RW {SIZE // 512} SPARSE "disk.vmdk"\n' in text
    assert 'ddb.adapterType = "lsilogic"\n' in text


def test_a_vmdk_of_a_disk_that_ends_inside_a_grain(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"x" * (GRAIN + 512))
    assert vmdk_disk(convert(tmp_path / "disk.raw", "vmdk", tmp_path / "out")) == b"x" * (GRAIN + 512)


def test_an_empty_disk_has_no_tables(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(bytes(MIB))
    assert vmdk_disk(convert(tmp_path / "disk.raw", "vmdk", tmp_path / "out")) == bytes(MIB)


@pytest.mark.parametrize("size", [0, 513])
def test_a_vmdk_of_other_than_whole_sectors_is_refused(
    tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disk.raw").write_bytes(bytes(size))
    assert main([str(tmp_path / "disk.raw"), str(tmp_path / "out"), "--format=vmdk", "--epoch=0"]) == 1
    assert f"a disk of {size} bytes: a VMDK has whole sectors of 512" in capsys.readouterr().err


# OVA, by DMTF's DSP0243


def test_an_ova_is_a_tar_that_begins_with_its_description(raw: Path, tmp_path: Path) -> None:
    data = convert(raw, "ova", tmp_path / "disk.ova", "--name", "talos-v1.13.6", "--arch", "arm64")
    assert data[257:265] == b"ustar\x0000", "POSIX's ustar"
    with tarfile.open(tmp_path / "disk.ova") as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == ["talos.ovf", "talos.mf", "talos-disk1.vmdk"]
        assert {(member.mtime, member.mode, member.uid, member.gid) for member in members} == {(EPOCH, 0o644, 0, 0)}
        ovf, manifest, vmdk = (file.read() for member in members if (file := archive.extractfile(member)))
    assert manifest.decode() == (
        f"SHA256(talos.ovf)= {hashlib.sha256(ovf).hexdigest()}\n"
        f"SHA256(talos-disk1.vmdk)= {hashlib.sha256(vmdk).hexdigest()}\n"
    )
    assert vmdk == convert(raw, "vmdk", tmp_path / "disk.vmdk")


def test_the_description_names_the_disk_and_a_machine_with_uefi(raw: Path, tmp_path: Path) -> None:
    convert(raw, "ova", tmp_path / "disk.ova", "--name", "talos-v1.13.6")
    with tarfile.open(tmp_path / "disk.ova") as archive:
        file = archive.extractfile("talos.ovf")
        assert file
        root = ET.fromstring(file.read())
        size = archive.getmember("talos-disk1.vmdk").size
    reference, disk = root.find(f".//{OVF}File"), root.find(f".//{OVF}Disk")
    assert reference is not None
    assert disk is not None
    assert (reference.get(f"{OVF}href"), reference.get(f"{OVF}size")) == ("talos-disk1.vmdk", str(size))
    assert disk.get(f"{OVF}fileRef") == reference.get(f"{OVF}id")
    assert (disk.get(f"{OVF}capacity"), disk.get(f"{OVF}capacityAllocationUnits")) == (str(SIZE), "byte")
    assert str(disk.get(f"{OVF}format")).endswith("#streamOptimized")
    assert root.findtext(f".//{OVF}Name") == "talos-v1.13.6"
    text = ET.tostring(root, encoding="unicode")
    assert ':key="firmware"' in text
    assert ':value="efi"' in text
    assert ">vmx-15<" in text
    assert ':key="talos.config"' in text


def test_a_name_that_is_none_is_refused(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(raw), str(tmp_path / "out"), "--format=ova", "--epoch=0", "--name", "a b"]) == 1
    assert "a virtual machine's name has letters, digits, dots and dashes" in capsys.readouterr().err
