"""Overlays for single-board computers: what their installers are asked, and where their files go."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml

from embedded.tests.lab_imager.builds import DISK, build, partitions, run_profile, write_tar
from embedded.tests.lab_imager.tars import File

if TYPE_CHECKING:
    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import RootRunner

pytestmark = pytest.mark.lab

# Answers as Talos's own installers do, and keeps what it was given beside what it installs.
INSTALLER = b"""#!/bin/sh
set -e
given=$(cat)
case $1 in
get-options)
  echo "name: board"
  echo "kernelArgs: [console=ttyBOARD, board.argument=1]"
  echo "partitionOptions: {offset: OFFSET}"
  ;;
install)
  prefix=$(echo "$given" | sed -n 's/^mountPrefix: //p')
  artifacts=$(echo "$given" | sed -n 's/^artifactsPath: //p')
  disk=$(echo "$given" | sed -n 's/^installDisk: //p')
  cp "$artifacts/firmware.bin" "$prefix/boot/EFI/firmware.bin"
  echo "$given" > "$prefix/boot/EFI/given.yaml"
  printf LOADER | dd of="$disk" bs=512 seek=64 conv=notrunc 2>/dev/null
  ;;
esac
"""
PROFILE = b"""arch: arm64
platform: metal
output:
  kind: image
  outFormat: raw
  imageOptions: {diskSize: 1306525696, diskFormat: raw, bootloader: grub}
"""
FAILING = b"#!/bin/sh\necho no such board >&2\nexit 3\n"


@pytest.fixture(autouse=True)
def with_inputs(inputs: Inputs) -> Inputs:
    return inputs


def overlay(root: RootRunner, case: str, offset: int = 0) -> str:
    """The overlay image of a test, as a tar file."""
    files = [
        File("artifacts/firmware.bin", b"firmware"),
        File("artifacts/deep/er.txt", b"deep", mode=0o600),
        File("installers/board", INSTALLER.replace(b"OFFSET", str(offset).encode()), mode=0o755),
        File("installers/failing", FAILING, mode=0o755),
        File("profiles/board.yaml", PROFILE),
    ]
    return write_tar(root, case, "overlay", files)


def section(path: str, name: str = "board", options: str = "") -> str:
    return f"overlay:\n  name: {name}\n  image: {{tarballPath: {path}}}\n{options}"


def test_board_gets_its_kernel_arguments(root: RootRunner) -> None:
    text = build(root, "board-cmdline", kind="cmdline", more=section(overlay(root, "board-cmdline"))).read_text()
    assert text.startswith("talos.platform=metal console=ttyBOARD board.argument=1 init_on_alloc=1")
    assert "ttyAMA0" not in text


def test_disk_that_grub_boots_has_the_boards_files(root: RootRunner) -> None:
    options = "  options:\n    text: |\n      one\n      two\n    flag: true\n"
    path = overlay(root, "board-disk", 20480)
    disk = build(root, "board-disk", kind=DISK % ", bootloader: grub", more=section(path, options=options))
    inside = f"/LAB/{disk.relative_to(root.lab)}"
    first = partitions(root, inside)[0]
    assert first["start"] == 20480
    image = f"{inside}@@{20480 * 512}"
    assert root.tool("mtype", "-i", image, "::/firmware.bin") == "firmware"
    given = yaml.safe_load(root.tool("mtype", "-i", image, "::/given.yaml"))
    assert set(given) == {"installDisk", "mountPrefix", "artifactsPath", "extraOptions"}
    assert given["extraOptions"] == {"text": "one\ntwo\n", "flag": True}
    with disk.open("rb") as file:
        file.seek(64 * 512)
        assert file.read(6) == b"LOADER"
        file.seek(512)
        assert file.read(8) == b"EFI PART"


def test_disk_that_systemd_boot_boots_has_none_of_them(root: RootRunner) -> None:
    """A trap of the real imager: without `bootloader: grub` it says nothing and the board does not start."""
    disk = build(root, "board-trap", kind=DISK % "", more=section(overlay(root, "board-trap")))
    listing = root.tool("mdir", "-/", "-b", "-i", f"/LAB/{disk.relative_to(root.lab)}@@1048576", "::")
    assert "firmware.bin" not in listing
    assert "BOOTAA64.efi" in listing


def test_boards_own_profile_can_be_inherited_from(root: RootRunner) -> None:
    path = overlay(root, "board-profile")
    result = root.run(
        "board-profile",
        f"baseProfileName: board\nversion: v1.13.6\n{section(path)}output: {{outFormat: .gz}}\n",
        "v1.13.6",
    )
    assert result.exit_code == 0, result.stderr
    assert result.file.name == "metal-arm64.raw.gz"
    assert "    bootloader: grub\n" in result.stderr
    result.file.unlink()


def test_installer_carries_the_overlay_for_its_own_architecture(root: RootRunner) -> None:
    path = overlay(root, "board-installer")
    target = write_tar(
        root,
        "board-installer",
        "target",
        [File("artifacts/firmware.bin", b"of arm64"), File("installers/board", b"of arm64", mode=0o755)],
    )
    inputs = f"  overlayInstaller: {{tarballPath: {target}}}\n"
    inputs += "  baseInstaller: {imageRef: a/b:v1, ociPath: LAB/oci/installer-base-v1.13.6}\n"
    more = section(path, options="  options: {key: value}\n")
    archive = build(root, "board-installer", kind="installer", inputs=inputs, more=more)
    with tarfile.open(archive) as docker:
        manifest = docker.extractfile("manifest.json")
        assert manifest is not None
        layers = json.load(manifest)[0]["Layers"]
        assert len(layers) == 3
        with tarfile.open(fileobj=docker.extractfile(layers[-1]), mode="r:gz") as layer:
            found = [(one.name, oct(one.mode), one.isdir()) for one in layer]
            options = layer.extractfile("overlay/extra-options")
            assert options is not None
            assert options.read() == b"key: value\n"
            program = layer.extractfile("overlay/installers/default")
            assert program is not None
            assert program.read() == b"of arm64"
    assert found == [
        ("overlay/artifacts/firmware.bin", "0o644", False),
        ("overlay/extra-options", "0o644", False),
        ("overlay/installers/default", "0o755", False),
    ]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nope", "fork/exec WORK/imagerN/overlay/installers/nope: no such file or directory, stdErr: "),
        ("failing", "exit status 3, stdErr: no such board"),
    ],
)
def test_installer_that_is_missing_or_fails_is_named(root: RootRunner, name: str, error: str) -> None:
    case = f"board-{name}"
    result = run_profile(root, case, kind="cmdline", more=section(overlay(root, case), name))
    assert result.exit_code == 1
    last = result.stderr.rstrip().splitlines()[-1]
    assert last == f"Error: failed to run overlay installer: {error}".rstrip()


def test_overlay_of_the_labs_own_is_what_the_imager_takes(root: RootRunner) -> None:
    from embedded import lab

    results = lab.builder().results(["ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0"])
    if results is None:
        pytest.skip("the lab has not made its overlay")
    layout = root.lab / "in/sbc"
    (layout / "blobs").mkdir(parents=True)
    blobs = lab.registry_folder() / "sha256"
    (layout / "blobs/sha256").mkdir()
    image = results["ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0"].value
    index = json.loads((blobs / image["image"]["digest"].partition(":")[2]).read_text())
    for blob in [*image["manifests"], *image["blobs"]]:
        name = blob["digest"].partition(":")[2]
        (layout / "blobs/sha256" / name).hardlink_to(blobs / name)
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    more = "overlay:\n  name: rpi_generic\n  image: {ociPath: LAB/in/sbc}\n  options: {configTxtAppend: dtparam=x}\n"
    # The cache's files are for their owner only.
    disk = build(root, "sbc-disk", kind=DISK % ", bootloader: grub", more=more, uid=0)
    image_path = f"/LAB/{disk.relative_to(root.lab)}@@1048576"
    listing = root.tool("mdir", "-/", "-b", "-i", image_path, "::").splitlines()
    assert {"::/start4.elf", "::/u-boot.bin", "::/config.txt", "::/bcm2711-rpi-4-b.dtb"} <= set(listing)
    assert root.tool("mtype", "-i", image_path, "::/config.txt").endswith("\ndtparam=x")
