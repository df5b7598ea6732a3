"""A single-board computer's assets: what a variant's overlay brings, read from the files that were built."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ci.inspect.content import elf_machine
from tests.engine.built import Built
from tests.engine.conftest import ASSETS
from tests.engine.media import installer_files, read_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Call

IMAGE = "ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0"
OPTIONS = "dtparam=poe_fan_temp0=50000"
#: The same extensions as spin-only's, of which the initramfs is there.
VARIANT = """\
description: Raspberry Pi workers
role: worker
architectures: [arm64]
extensions:
  add: [spin]
overlay:
  image: {image}
  name: {name}
  options:
    configTxtAppend: {options}
"""
#: Where the overlay has what this board boots from, and what its firmware starts.
FIRMWARE = "arm64/firmware/boot"
UBOOT = "arm64/u-boot/rpi_generic/u-boot.bin"


@dataclass(frozen=True)
class Board:
    """The board's variant, what it was built to, and the overlay's own artifacts."""

    image: str
    variants: Path
    built: Built
    artifacts: dict[str, bytes]


def variant(folder: Path, image: str, name: str = "rpi_generic") -> Path:
    (folder / "raspberry.yaml").write_text(VARIANT.format(image=image, name=name, options=OPTIONS))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def board(call: Call, core: Call, tmp_path_factory: pytest.TempPathFactory) -> Board:
    image = core("container", "from", "--address", IMAGE, "image-ref").stdout.strip()
    assert re.fullmatch(rf"{IMAGE}@sha256:[0-9a-f]{{64}}", image)
    folder = variant(tmp_path_factory.mktemp("variants"), image)
    out, artifacts = tmp_path_factory.mktemp("board"), tmp_path_factory.mktemp("artifacts")
    words = ("build", "--variant", "raspberry", "--outputs", "metal,installer", "export", "--path", out)
    done = call("--variants", folder, *words)
    assert done.returncode == 0, done.stderr
    place = ("rootfs", "directory", "--path", "artifacts", "export", "--path", artifacts)
    done = core("container", "from", "--address", image, *place)
    assert done.returncode == 0, done.stderr
    return Board(image, folder, Built(out / ASSETS), files(artifacts))


def test_the_disk_has_the_boards_files_and_grub(board: Board, tmp_path: Path) -> None:
    disk = read_disk(board.built.root / "metal/metal-arm64.raw.zst", tmp_path)
    firmware = {
        path.removeprefix(f"{FIRMWARE}/"): data for path, data in board.artifacts.items() if path.startswith(FIRMWARE)
    }
    # Firmware of the Pi 4 and its settings, a device tree, and U-Boot, which they start.
    assert {"start4.elf", "fixup4.dat", "bootcode.bin", "bcm2711-rpi-4-b.dtb"} <= set(firmware)
    assert {path: data for path, data in disk.esp.items() if path in firmware} == firmware
    assert disk.esp["bcm2711-rpi-4-b.dtb"][:4] == bytes.fromhex("d00dfeed")
    assert disk.esp["u-boot.bin"] == board.artifacts[UBOOT]
    assert OPTIONS in disk.esp["config.txt"].decode().splitlines()
    # Beside systemd-boot the imager leaves the overlay out; GRUB takes kernel and initramfs from a partition of XFS.
    assert b"GRUB" in disk.esp["EFI/boot/BOOTAA64.efi"]
    assert b"systemd-boot" not in disk.esp["EFI/boot/BOOTAA64.efi"]
    assert [path for path in disk.esp if path.startswith("EFI/")] == ["EFI/boot/BOOTAA64.efi"]
    assert list(disk.starts) == ["EFI", "BIOS", "BOOT", "META"]
    assert disk.starts["BOOT"][:4] == b"XFSB"


def test_the_installer_holds_the_nodes_overlay_where_talos_looks(board: Board) -> None:
    """Paths as of `ImagerOverlay…Path` in Talos's pkg/machinery/constants; the installer starts in `/`."""
    inside = installer_files(board.built.root / "installer/installer-arm64.tar")
    program, mode = inside["overlay/installers/default"]
    assert (elf_machine(program), mode & 0o111) == ("arm64", 0o111)
    assert [path for path in inside if path.startswith("overlay/installers/")] == ["overlay/installers/default"]
    assert yaml.safe_load(inside["overlay/extra-options"][0]) == {"configTxtAppend": OPTIONS}
    prefix = "overlay/artifacts/"
    artifacts = {path.removeprefix(prefix): data for path, (data, _) in inside.items() if path.startswith(prefix)}
    assert artifacts == board.artifacts


def test_the_board_gets_the_kernel_arguments_that_its_installer_asks_for(board: Board) -> None:
    report = json.loads((board.built.root / "validation/build-report.json").read_text())
    line = report["cmdlines"]["installer/installer-arm64.tar:usr/install/arm64/vmlinuz.efi:.cmdline"]
    assert "console=ttyAMA0,115200" in line.split()


def test_the_assets_pass_and_name_the_overlay_by_digest_for_both_platforms(board: Board, call: Call) -> None:
    report = json.loads((board.built.root / "validation/build-report.json").read_text())
    assert {check["status"] for check in report["checks"]} <= {"pass", "skip"}
    digest = board.image.partition("@")[2]
    for plan in (report["plan"], planned(call, board.variants)):
        overlay = plan["overlay"]
        assert (overlay["reference"], overlay["digest"]) == (IMAGE, digest)
        assert overlay["platform"] == "linux/arm64"
        assert overlay["hostPlatform"] in ("linux/amd64", "linux/arm64")
    statement = json.loads((board.built.root / "validation/provenance.json").read_text())
    inputs = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [one["digest"] for one in inputs if one["name"] == "overlay"] == [{"sha256": digest.removeprefix("sha256:")}]


def planned(call: Call, variants: Path) -> dict[str, Any]:
    done = call("--variants", variants, "plan", "--variant", "raspberry", "--outputs", "metal", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(call: Call, variants: Path) -> str:
    done = call("--variants", variants, "build", "--variant", "raspberry", "--outputs", "cmdline", "entries")
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "Traceback" not in done.stderr
    assert "/usr/bin/imager" not in done.stderr
    return done.stderr


def test_an_installer_that_the_overlay_has_not_is_refused(board: Board, call: Call, tmp_path: Path) -> None:
    said = refusal(call, variant(tmp_path, board.image, "rpi_generik"))
    assert f"{board.image} has no installer 'rpi_generik' for linux/" in said
    assert "which the variant's overlay names: did you mean rpi_generic?" in said


def test_an_image_that_is_no_overlay_is_refused(board: Board, call: Call, tmp_path: Path) -> None:
    image = next(entry.pinned for entry in board.built.plan.extensions if entry.name == "spin")
    assert f"{image} is no overlay: its image for linux/" in refusal(call, variant(tmp_path, image))


def test_an_overlay_without_a_digest_is_refused(call: Call, tmp_path: Path) -> None:
    said = refusal(call, variant(tmp_path, IMAGE))
    assert f"raspberry.yaml:7: overlay.image: reference '{IMAGE}' has no digest: add @sha256:" in said
