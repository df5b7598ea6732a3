"""Signed programs are compared without their signature, wherever they are, and that is said."""

from __future__ import annotations

import io
import json
import lzma
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from ci.common.arch import Arch
from ci.compare.differences import first_difference
from ci.compare.folders import compare_folders
from ci.inspect.authenticode import without_signatures
from ci.inspect.source import BytesSource
from ci.steps.disks.ova import write_ova
from ci.steps.disks.vmdk import write_vmdk
from ci.steps.normalise.pack import Packing, pack
from tests.unit.compare.test_differences import stored_as
from tests.unit.inspect import sample_media, samples, signed_samples
from tests.unit.inspect.samples import File
from tests.unit.tools import needs

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY, LATE = b"260101120000Z", b"270202130101Z"
INITRAMFS = samples.zstd(samples.cpio([File("init", samples.elf())]))


def loader(time: bytes) -> bytes:
    return signed_samples.boot_loader(time)


def uki(time: bytes) -> bytes:
    # The kernel in it may be signed, too.
    return signed_samples.uki(time, signed_samples.boot_loader(time, b"kernel"), INITRAMFS)


def files(time: bytes) -> list[File]:
    return [File("EFI/BOOT/BOOTAA64.EFI", loader(time)), File("EFI/Linux/Talos.efi", uki(time))]


def iso(time: bytes) -> bytes:
    return sample_media.iso(files(time))


def fat(time: bytes) -> bytes:
    return sample_media.fat(files(time), 16)


def iso_with_partition(time: bytes) -> bytes:
    """An ISO with an EFI system partition behind it, which only its MBR names."""
    image = bytearray(iso(time))
    image += bytes(-len(image) % 512)
    first, inner = len(image) // 512, fat(time)
    image[446:462] = bytes([0, 0, 0, 0, 0xEF, 0, 0, 0]) + first.to_bytes(4, "little") + len(inner).to_bytes(4, "little")
    image[458:462] = (len(inner) // 512).to_bytes(4, "little")
    image[510:512] = b"\x55\xaa"
    return bytes(image) + inner


def disk(time: bytes) -> bytes:
    return sample_media.gpt([(sample_media.ESP, "EFI", fat(time)), (sample_media.LINUX, "META", bytes(1 << 20))])


def frames(time: bytes) -> bytes:
    """A disk image as it is packed: a frame for each MiB."""
    image = disk(time)
    return b"".join(zstandard.compress(image[at : at + (1 << 20)], 1) for at in range(0, len(image), 1 << 20))


def made(time: bytes, write: Callable[[Path, Path], None]) -> bytes:
    """A disk image in one of the forms that clouds take."""
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder, "raw"), Path(folder, "out")
        raw.write_bytes(disk(time))
        write(raw, out)
        return out.read_bytes()


def installer(time: bytes) -> bytes:
    return samples.installer(uki(time), loader(time)).archive()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "program": loader,
    "uki": uki,
    "iso": iso,
    "iso-with-partition": iso_with_partition,
    "fat": fat,
    "disk": disk,
    "disk.zst": frames,
    "disk.xz": lambda time: lzma.compress(disk(time), preset=0),
    "disk.vmdk": lambda time: made(time, write_vmdk),
    "disk.ova": lambda time: made(time, lambda raw, out: write_ova(raw, out, 1_700_000_000, "talos", Arch.ARM64)),
    "disk.tar.gz": lambda time: made(time, lambda raw, out: pack(raw, out, Packing.TAR, 1_700_000_000)),
    "tar": lambda time: samples.tar(files(time)),
    "installer": installer,
}


@pytest.mark.parametrize("form", FORMS)
def test_only_the_time_of_signing_differs(form: str) -> None:
    one, other = FORMS[form](EARLY), FORMS[form](LATE)
    assert one != other
    unsigned = set[str]()
    assert first_difference(BytesSource("one", one), BytesSource("other", other), unsigned) is None
    assert unsigned, "what was left out is to be named"


@pytest.mark.parametrize("form", FORMS)
def test_another_program_differs(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = FORMS[form](EARLY)
    whole = signed_samples.boot_loader

    def changed(time: bytes, text: bytes = b"systemd-boot") -> bytes:
        return whole(time, text.replace(b"s", b"S"))

    monkeypatch.setattr(signed_samples, "boot_loader", changed)
    if form == "uki":

        def of_kernel(time: bytes, _: bytes) -> bytes:
            return whole(time, b"KERNEL")

        monkeypatch.setattr(signed_samples, "boot_loader", of_kernel)
    assert first_difference(BytesSource("one", one), BytesSource("other", FORMS[form](LATE))) is not None


@needs("qemu-img")
@pytest.mark.parametrize("form", ["qcow2", "compressed.qcow2", "vhd", "vmdk"])
def test_in_disks_that_qemu_img_writes_only_the_time_of_signing_differs(tmp_path: Path, form: str) -> None:
    one, other = (stored_as(tmp_path, form, disk(time)) for time in (EARLY, LATE))
    assert one != other
    unsigned = set[str]()
    assert first_difference(BytesSource("one", one), BytesSource("other", other), unsigned) is None
    assert {name.rpartition("/")[2] for name in unsigned} >= {"BOOTAA64.EFI", "Talos.efi"}
    changed = disk(LATE).replace(b"systemd-boot", b"Systemd-boot")
    found = first_difference(BytesSource("one", one), BytesSource("other", stored_as(tmp_path, form, changed)))
    assert found is not None


def test_what_ends_like_a_vhd_and_is_broken_is_compared_as_it_is() -> None:
    one, other = (disk(time) + b"conectix".ljust(511, b"\0") + end for time, end in ((EARLY, b"1"), (LATE, b"2")))
    assert first_difference(BytesSource("one", one), BytesSource("other", other)) is not None


def test_another_signer_makes_another_program() -> None:
    one = signed_samples.boot_loader(EARLY, certificate=b"a" * 200)
    other = signed_samples.boot_loader(EARLY, certificate=b"b" * 200)
    assert first_difference(BytesSource("one", one), BytesSource("other", other)) is not None


def test_a_signed_program_is_not_one_without_a_signature() -> None:
    bare = samples.pe("arm64", [(".text", b"systemd-boot")], directories=16)
    assert first_difference(BytesSource("one", bare), BytesSource("other", loader(EARLY))) is not None


def test_a_byte_beside_the_signature_counts() -> None:
    one = fat(EARLY)
    at = one.index(b"systemd-boot")
    other = one[:at] + b"S" + one[at + 1 :]
    assert first_difference(BytesSource("one", one), BytesSource("other", other)) is not None
    image, end = disk(EARLY), len(disk(EARLY)) - 600_000
    other = image[:end] + b"x" + image[end + 1 :]
    assert first_difference(BytesSource("one", image), BytesSource("other", other)) is not None


def test_all_of_the_signature_is_zero_but_the_certificates() -> None:
    program = loader(EARLY)
    seen = without_signatures(BytesSource("one", program))
    data = b"".join(seen.source.chunks())
    assert seen.programs == ("",)
    assert len(data) == len(program)
    assert data[signed_samples.CHECKSUM : signed_samples.CHECKSUM + 4] == bytes(4)
    assert data[signed_samples.DIRECTORY : signed_samples.DIRECTORY + 8] == bytes(8)
    bare = samples.pe("arm64", [(".text", b"systemd-boot")], directories=16)
    assert data[: len(bare)] == bare
    rest = data[len(bare) :].strip(b"\0")
    assert rest.endswith(b"c" * 200)
    assert len(rest) < 210


@pytest.mark.parametrize("cut", [8, 20, 40, 200])
def test_a_broken_signature_is_compared_as_it_is(cut: int) -> None:
    program = loader(EARLY)
    seen = without_signatures(BytesSource("one", program[:-cut]))
    assert seen.programs == ()


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    for name, time in (("one", EARLY), ("other", LATE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "talos.efi").write_bytes(uki(time))
        (tmp_path / name / "talos.iso").write_bytes(iso(time))
        (tmp_path / name / "kernel").write_bytes(b"kernel")
    found = compare_folders(tmp_path / "one", tmp_path / "other")
    assert found.equal
    kernel, efi, image = found.render("text").splitlines()
    assert "signature" not in kernel
    assert efi.endswith("but for the signature of .linux, talos.efi: it has the time of signing")
    assert "but for the signature of EFI/BOOT/BOOTAA64.EFI, EFI/Linux/Talos.efi" in image
    document = json.loads(found.render("json"))
    assert [file.get("without_signature") for file in document["files"]] == [
        None,
        [".linux", "talos.efi"],
        ["EFI/BOOT/BOOTAA64.EFI", "EFI/Linux/Talos.efi", "EFI/Linux/Talos.efi/.linux"],
    ]


def test_a_tar_that_differs_in_digests_alone_differs_where_nothing_is_signed() -> None:
    def archive(digest: str) -> bytes:
        out = io.BytesIO(samples.tar([File("config.json", json.dumps({"diff_ids": [digest]}).encode())]))
        return out.getvalue()

    found = first_difference(BytesSource("one", archive("a" * 64)), BytesSource("other", archive("b" * 64)))
    assert found is not None
    assert "diff_ids" in str(found)
