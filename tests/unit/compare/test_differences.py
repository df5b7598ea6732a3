"""The first difference of two files, named by what it is."""

from __future__ import annotations

import io
import struct
import tarfile
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import zstandard

from ci.compare.differences import FirstDifference, first_difference
from ci.inspect.context import Context
from ci.inspect.fat import Fat
from ci.inspect.source import BytesSource, open_file
from ci.steps.disks.__main__ import main as convert
from tests.unit.inspect import sample_media, samples, xfs_samples
from tests.unit.inspect.samples import File
from tests.unit.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

INIT = File("init", samples.elf())
NEWER = File("init", samples.elf("arm64", b"newer"))


def difference(one: bytes, other: bytes) -> FirstDifference | None:
    return first_difference(BytesSource("one", one), BytesSource("other", other))


def told(one: bytes, other: bytes) -> str:
    found = difference(one, other)
    assert found is not None
    return str(found)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def initramfs(extension: bytes, mtime: int = 1700000000) -> bytes:
    base = samples.zstd(samples.cpio([INIT]))
    return base + samples.zstd(samples.cpio([File("0.sqsh", extension), File("extensions.yaml", b"a")], mtime=mtime))


SQUASHFS = samples.squashfs([File("usr/local/bin/shim", samples.elf(), 0o755)])
OTHER_SQUASHFS = samples.squashfs([File("usr/local/bin/shim", samples.elf("arm64", b"x"), 0o755)])
UKI = samples.uki(samples.kernel(), initramfs(SQUASHFS))
INSTALLER = samples.installer(UKI, samples.boot_loader())
ISO = sample_media.iso([File("EFI/BOOT/BOOTAA64.EFI", samples.boot_loader()), File("loader.conf", b"timeout 3\n")])
FAT = sample_media.fat([File("EFI/BOOT/BOOTAA64.EFI", samples.boot_loader())], 12)
DISK = sample_media.gpt([(sample_media.ESP, "EFI", FAT), (sample_media.LINUX, "META", bytes(1 << 20))])
GOOD = {
    "initramfs": initramfs(SQUASHFS),
    "uki": UKI,
    "installer": INSTALLER.archive(),
    "iso": ISO,
    "disk": DISK,
    "squashfs": SQUASHFS,
    "text": b"a\n",
}


@pytest.mark.parametrize("kind", GOOD)
def test_equal_files_have_none(kind: str) -> None:
    assert difference(GOOD[kind], bytes(GOOD[kind])) is None


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "text"])
def test_one_byte_is_always_found(kind: str) -> None:
    good = GOOD[kind]
    for at in range(0, len(good), max(1, len(good) // (23 if kind == "disk" else 97))):
        bad = changed(good, at, bytes([good[at] ^ 1]))
        found = difference(good, bad)
        assert found is not None, at
        assert found.place, at
        assert found.one != found.other, at


@pytest.mark.parametrize("kind", GOOD)
def test_a_file_that_goes_on_is_found(kind: str) -> None:
    assert difference(GOOD[kind], GOOD[kind] + b"\0") is not None
    assert difference(GOOD[kind], GOOD[kind][:-1]) is not None


def test_an_entrys_time_in_the_second_frame_is_named() -> None:
    assert told(initramfs(SQUASHFS), initramfs(SQUASHFS, mtime=1700000001)) == (
        "zstd frame 1: entry 0.sqsh: mtime: 1700000000 (2023-11-14T22:13:20Z) | 1700000001 (2023-11-14T22:13:21Z)"
    )


def test_content_is_followed_down_into_an_extension() -> None:
    text = told(initramfs(SQUASHFS), initramfs(OTHER_SQUASHFS))
    assert text == "zstd frame 1: entry 0.sqsh: content: entry usr/local/bin/shim: size: 64 | 65"


def test_a_squashfs_time_is_named() -> None:
    other = changed(SQUASHFS, 8, struct.pack("<I", 1700000009))
    assert told(SQUASHFS, other).startswith("superblock: time of creation: 1700000000 (")


def test_other_settings_of_a_compressor_are_told_apart_from_other_content() -> None:
    archive = samples.cpio([File("init", samples.elf("arm64", bytes(range(256)) * 400))])
    one, other = (zstandard.ZstdCompressor(level=level, write_checksum=True).compress(archive) for level in (1, 19))
    assert told(one, other) == (
        f"zstd frame 0: the same content is packed in two ways: {len(one)} bytes (sha256 {samples.sha(one)[:12]}…) | "
        f"{len(other)} bytes (sha256 {samples.sha(other)[:12]}…)"
    )


def test_an_entry_that_is_missing_is_named() -> None:
    one, other = (samples.cpio(files) for files in ([INIT, File("a")], [File("a")]))
    assert told(one, other) == "part 0: entry init | entry a"
    assert told(samples.cpio([File("a"), INIT]), other) == "part 1: entry init | nothing"


def test_a_frame_that_is_missing_is_named() -> None:
    one, other = initramfs(SQUASHFS), samples.zstd(samples.cpio([INIT]))
    assert told(one, other) == "part 1: zstd frame 1 | nothing"


def test_an_installers_time_is_named_in_spite_of_the_digests_in_its_names() -> None:
    other = replace(INSTALLER, created="2026-01-01T00:00:01Z").archive()
    name = f"sha256:{samples.sha(INSTALLER.config([samples.tar(layer) for layer in INSTALLER.layers]))}"
    assert told(INSTALLER.archive(), other) == (
        f"entry {name}: content: created: '2026-01-01T00:00:00Z' | '2026-01-01T00:00:01Z'"
    )


def test_a_layer_is_followed_down_to_the_entry() -> None:
    other = samples.installer(UKI, samples.boot_loader(), extra=[File("usr/install/arm64/x", b"x")])
    text = told(samples.tar(as_files(INSTALLER)), samples.tar(as_files(other)))
    assert text == "entry layer1: content: gzip frame 0: part 2: nothing | entry usr/install/arm64/x"


def as_files(image: samples.Image) -> list[File]:
    return [File(f"layer{number}", samples.gz(samples.tar(layer))) for number, layer in enumerate(image.layers)]


def test_a_tars_owner_is_named() -> None:
    def tar(uid: int) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("a")
            info.uid = uid
            archive.addfile(info)
        return out.getvalue()

    assert told(tar(0), tar(100)) == "entry a: uid: 0000000 | 0000144"


def test_a_pe_header_s_time_is_named() -> None:
    loader = samples.boot_loader()
    other = changed(loader, 0x88, struct.pack("<I", 1700000002))
    assert told(loader, other) == (
        "PE header: TimeDateStamp: 1700000000 (2023-11-14T22:13:20Z) | 1700000002 (2023-11-14T22:13:22Z)"
    )


def test_a_section_is_followed_down_into_the_initramfs() -> None:
    other = samples.uki(samples.kernel(), initramfs(SQUASHFS, mtime=1))
    assert told(UKI, other).startswith("section .initrd: zstd frame 1: entry 0.sqsh: mtime: 1700000000")


def test_a_command_line_is_shown() -> None:
    other = samples.uki(samples.kernel(), initramfs(SQUASHFS), cmdline=samples.CMDLINE.replace("pti=on", "pti=no"))
    assert told(UKI, other) == f"section .cmdline: line 1: {samples.CMDLINE!r} | {samples.CMDLINE[:-6] + 'pti=no'!r}"


def test_an_isos_time_is_named() -> None:
    files = [File("EFI/BOOT/BOOTAA64.EFI", samples.boot_loader()), File("loader.conf", b"timeout 3\n")]
    later = sample_media.iso(files, made=1700000060)
    assert told(ISO, later).startswith("volume descriptor: time of creation: 2023111422132000 | 2023111422142000")


def test_an_isos_file_is_followed() -> None:
    files = [File("EFI/BOOT/BOOTAA64.EFI", samples.boot_loader()), File("loader.conf", b"timeout 5\n")]
    assert told(ISO, sample_media.iso(files)) == ("entry loader.conf: content: line 1: 'timeout 3\\n' | 'timeout 5\\n'")


class Shifted:
    """In place of the module `uuid`: identifiers made from a number are those of the next one."""

    @staticmethod
    def UUID(text: str | None = None, *, int: int = 0) -> uuid.UUID:  # noqa: A002, N802 (the library's names)
        return uuid.UUID(text) if text else uuid.UUID(int=int + 1)


def test_a_partitions_name_and_guid_are_named() -> None:
    other = sample_media.gpt([(sample_media.ESP, "EFI", FAT), (sample_media.LINUX, "STATE", bytes(1 << 20))])
    assert told(DISK, other) == "partition 2: name: 'META' | 'STATE'"
    with mock.patch.object(sample_media, "uuid", Shifted):
        other = sample_media.gpt([(sample_media.ESP, "EFI", FAT), (sample_media.LINUX, "META", bytes(1 << 20))])
    assert told(DISK, other) == (
        "partition 1: GUID: 00000000-0000-0000-0000-000000000001 | 00000000-0000-0000-0000-000000000002"
    )


def test_a_fats_serial_number_is_named() -> None:
    other = sample_media.gpt(
        [(sample_media.ESP, "EFI", changed(FAT, 39, b"\1\2\3\4")), (sample_media.LINUX, "META", bytes(1 << 20))]
    )
    assert told(DISK, other) == "partition 1 EFI: boot sector: serial number: 00000000 | 01020304"


def test_a_fats_time_is_named() -> None:
    at = FAT.index(next(file.record for file in Fat(BytesSource("fat", FAT), Context()).walk() if not file.directory))
    other = changed(FAT, at + 22, struct.pack("<HH", 12 << 11 | 30 << 5, 46 << 9 | 11 << 5 | 25))
    assert told(FAT, other).startswith("entry EFI/BOOT/BOOTAA64.EFI: time of the last change: ")
    assert told(FAT, other).endswith(" | 2026-11-25 12:30:00")


def test_json_is_told_by_its_key() -> None:
    assert told(b'{"a": {"b": [1, 2]}}', b'{"a": {"b": [1, 3]}}') == "a.b[1]: 2 | 3"
    assert told(b'{"a": 1}', b'{"a": 1, "c": true}') == "c: nothing | true"
    assert told(b'{"a": 1}', b'{"a":  1}') == "line 1: '{\"a\": 1}' | '{\"a\":  1}'"


def test_a_text_is_told_by_its_line() -> None:
    assert told(b"a\nb\n", b"a\nc\n") == "line 2: 'b\\n' | 'c\\n'"
    assert told(b"a\n", b"a") == "line 1: 'a\\n' | 'a'"


def test_bytes_of_no_kind_are_told_by_their_place() -> None:
    assert told(b"\0\1\2\xff", b"\0\1\3\xff") == "byte 2: 02ff | 03ff"


def test_another_kind_is_told() -> None:
    assert told(SQUASHFS, FAT) == "kind: squashfs | FAT"


def test_what_a_reader_refuses_is_compared_as_bytes() -> None:
    one = initramfs(SQUASHFS)[:-9]
    assert told(one, changed(one, len(one) - 1, b"\x99")).startswith(f"byte {len(one) - 1}: ")


def test_two_file_systems_of_xfs_differ_in_a_name_or_its_content(tmp_path: Path) -> None:
    worker, router = (xfs_samples.sparse(name, tmp_path / name) for name in ("boot-worker", "boot-router"))
    with open_file(worker) as one, open_file(router) as other:
        found = first_difference(one, other)
    assert found is not None
    assert found.place[:2] == ("entry A/initramfs.xz", "content")


# Disks, whatever they are stored as


def stored_as(folder: Path, form: str, disk: bytes, epoch: int = 1_700_000_000) -> bytes:
    (folder / "raw").write_bytes(disk.ljust(-(-len(disk) // (1 << 20)) << 20, b"\0"))
    assert convert([str(folder / "raw"), str(folder / "out"), "--format", form, "--epoch", str(epoch)]) == 0
    return (folder / "out").read_bytes()


@needs("qemu-img")
@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("qcow2", "disk: "),
        ("compressed.qcow2", "disk: "),
        ("vhd", "disk: "),
        ("vmdk", "disk: "),
    ],
)
def test_a_stored_disk_is_looked_into(tmp_path: Path, form: str, place: str) -> None:
    other = sample_media.gpt([(sample_media.ESP, "EFI", FAT), (sample_media.LINUX, "META", b"\1" * (1 << 20))])
    found = told(stored_as(tmp_path, form, DISK), stored_as(tmp_path, form, other))
    assert found.startswith(f"{place}partition 2 META: byte 0: ")


def test_an_ova_is_looked_into(tmp_path: Path) -> None:
    other = sample_media.gpt([(sample_media.ESP, "EFI", FAT), (sample_media.LINUX, "META", b"\1" * (1 << 20))])
    one, two = stored_as(tmp_path, "ova", DISK), stored_as(tmp_path, "ova", other)
    assert told(one, two).startswith("entry talos.ovf: content: line ")
    assert told(one, stored_as(tmp_path, "ova", DISK, 1)) == (
        "entry talos.ovf: mtime: 1700000000 (2023-11-14T22:13:20Z) | 1 (1970-01-01T00:00:01Z)"
    )


@needs("qemu-img")
def test_the_time_in_a_vhd_is_named(tmp_path: Path) -> None:
    found = told(stored_as(tmp_path, "vhd", DISK), stored_as(tmp_path, "vhd", DISK, 1_700_000_001))
    assert found == ("VHD footer: time: 1700000000 (2023-11-14T22:13:20Z) | 1700000001 (2023-11-14T22:13:21Z)")
