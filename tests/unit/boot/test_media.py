"""What a machine boots from, made ready."""

from __future__ import annotations

import lzma
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import zstandard

from ci.boot import machine
from ci.boot.media import ForeignKernelError, prepare
from ci.boot.ways import Way
from tests.unit.boot.requests import request
from tests.unit.boot.test_run import pe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20


def put(assets: Path, path: str, content: bytes) -> None:
    file = assets / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_the_uki_lies_where_removable_media_have_their_loader(tmp_path: Path) -> None:
    put(tmp_path, "uki/metal-arm64-uki.efi", pe())
    (tmp_path / "work").mkdir()
    media = prepare(request(Way.UKI), tmp_path, tmp_path / "work")
    assert media == machine.Media(esp=str(tmp_path / "work/esp"))
    assert (tmp_path / "work/esp/EFI/BOOT/BOOTAA64.EFI").read_bytes() == pe()


def test_a_uki_of_another_architecture_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "uki/metal-arm64-uki.efi", pe(0x8664))
    with pytest.raises(ForeignKernelError, match=r"^uki/metal-arm64-uki\.efi is for amd64, the machine is arm64$"):
        prepare(request(Way.UKI), tmp_path, tmp_path / "work")


@pytest.mark.parametrize("pack", [None, lzma.compress, zstandard.ZstdCompressor().compress])
def test_a_disk_image_is_unpacked_with_its_holes(pack: Callable[[bytes], bytes] | None, tmp_path: Path) -> None:
    disk = b"first".ljust(MIB, b"\1") + bytes(40 * MIB) + b"last".ljust(MIB, b"\2") + bytes(8 * MIB)
    put(tmp_path, "metal/metal-arm64.raw", pack(disk) if pack else disk)
    (tmp_path / "work").mkdir()
    media = prepare(request(Way.METAL), tmp_path, tmp_path / "work")
    image = tmp_path / ("work/image.raw" if pack else "metal/metal-arm64.raw")
    assert media == machine.Media(image=str(image))
    assert image.read_bytes() == disk
    if pack:
        assert image.stat().st_blocks * 512 < 20 * MIB


def test_a_disk_image_says_how_large_its_sectors_are(tmp_path: Path) -> None:
    put(tmp_path, "metal/metal-arm64.raw", bytes(4096) + b"EFI PART" + bytes(MIB))
    media = prepare(request(Way.METAL), tmp_path, tmp_path / "work")
    assert media == machine.Media(image=str(tmp_path / "metal/metal-arm64.raw"), sector=4096)


def test_an_iso_is_taken_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, "iso/metal-arm64.iso", b"iso")
    media = prepare(request(Way.ISO), tmp_path, tmp_path / "work")
    assert media == machine.Media(image=str(tmp_path / "iso/metal-arm64.iso"))


def test_ipxe_and_its_first_script_lie_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ipxe-arm64.efi"
    program.write_bytes(b"ipxe")
    row = machine.MACHINES[request().arch]
    monkeypatch.setitem(machine.MACHINES, request().arch, replace(row, ipxe=str(program)))
    (tmp_path / "work").mkdir()
    media = prepare(request(Way.NETBOOT), tmp_path, tmp_path / "work")
    assert media == machine.Media(esp=str(tmp_path / "work/esp"))
    assert {path.name: path.read_text() for path in (tmp_path / "work/esp/EFI/BOOT").iterdir()} == {
        "BOOTAA64.EFI": "ipxe",
        "autoexec.ipxe": machine.AUTOEXEC_TEXT,
    }
