"""Shapes that no record shows by itself: many extensions, microcode, amd64, an initramfs fed back in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from embedded.tests.lab_imager.inputs import manifest
from embedded.tests.lab_imager.readers import EMPTY_FRAME, appended, cpio_entries, read_pe, unzstd, zstd_frames
from embedded.tests.lab_imager.tars import File, tar_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import Result, RootRunner

pytestmark = pytest.mark.lab


def build(
    root: RootRunner,
    case: str,
    extensions: Iterable[list[File]],
    *,
    arch: str = "arm64",
    kind: str = "initramfs",
    base: str = "",
    version: str = "v1.13.6",
) -> Result:
    """Builds an output of tiny inputs; extensions go in as tar files."""
    folder = root.lab / "in" / case
    folder.mkdir(parents=True)
    (folder / "base").write_bytes(EMPTY_FRAME)
    (folder / "kernel").write_bytes(b"MZ kernel")
    profile = f"arch: {arch}\nplatform: metal\nsecureboot: false\nversion: {version}\ninput:\n"
    profile += f"  kernel: {{path: LAB/in/{case}/kernel}}\n  initramfs: {{path: {base or f'LAB/in/{case}/base'}}}\n"
    lines: list[str] = []
    for number, files in enumerate(extensions):
        (folder / f"{number}.tar").write_bytes(tar_bytes(files))
        lines.append(f"    - tarballPath: LAB/in/{case}/{number}.tar\n")
    profile += "".join(["  systemExtensions:\n", *lines]) if lines else ""
    profile += f"output:\n  kind: {kind}\n  outFormat: raw\n"
    result = root.run(case, profile, version)
    assert result.exit_code == 0, result.stderr
    return result


def tiny(name: str, *files: File) -> list[File]:
    """Returns an extension of next to nothing."""
    return [manifest(name), File(f"rootfs/usr/local/share/{name}", b"x"), *files]


@pytest.fixture(autouse=True)
def with_inputs(inputs: Inputs) -> Inputs:
    return inputs


def test_above_ten_extensions_their_order_is_that_of_names(root: RootRunner) -> None:
    result = build(root, "eleven", (tiny(f"e{number}") for number in range(11)))
    entries = appended(result.file)
    order = ["0.sqsh", "1.sqsh", "10.sqsh", *(f"{number}.sqsh" for number in range(2, 10))]
    assert list(entries) == [*order, "extensions.yaml"]
    layers = yaml.safe_load(entries["extensions.yaml"])["layers"]
    assert [(layer["image"], layer["metadata"]["name"]) for layer in layers] == [
        (name, f"e{name.removesuffix('.sqsh')}") for name in order
    ]


def test_microcode_goes_uncompressed_before_all_else(root: RootRunner) -> None:
    folder = "rootfs/usr/lib/firmware"
    intel = tiny("intel", File(f"{folder}/intel-ucode/06-01", b"one"), File(f"{folder}/intel-ucode/06-02", b"two"))
    amd = tiny("amd", File(f"{folder}/amd-ucode/microcode_amd.bin", b"amd"), File(f"{folder}/amd-ucode/README", b"r"))
    data = build(root, "ucode", [intel, amd], arch="amd64").file.read_bytes()
    start = data.index(b"\x28\xb5\x2f\xfd")
    early, _ = cpio_entries(data[:start])
    assert {entry.name: entry.data for entry in early if entry.data} == {
        "kernel/x86/microcode/AuthenticAMD.bin": b"amd",
        "kernel/x86/microcode/GenuineIntel.bin": b"onetwo",
    }
    frames = zstd_frames(data[start:])
    late, _ = cpio_entries(unzstd(data[start + frames[1].offset :]))
    names = [entry.name for entry in late]
    assert "usr/lib/firmware/amd-ucode/README" in names
    assert not any(name.startswith("kernel") or name.endswith("microcode_amd.bin") for name in names)


def test_finished_initramfs_fed_back_gets_a_third_frame_with_the_new_ones_alone(root: RootRunner) -> None:
    build(root, "first", [tiny("old")])
    result = build(root, "second", [tiny("new")], base="LAB/out/first/initramfs-metal-arm64.xz")
    data = result.file.read_bytes()
    frames = zstd_frames(data)
    assert len(frames) == 3
    archives = [cpio_entries(unzstd(data[frame.offset : frame.offset + frame.size]))[0] for frame in frames[1:]]
    assert [[entry.name for entry in entries] for entries in archives] == [["0.sqsh", "extensions.yaml"]] * 2
    assert [yaml.safe_load(entries[1].data)["layers"][0]["metadata"]["name"] for entries in archives] == ["old", "new"]


def test_foreign_programs_and_stray_paths_are_packed_without_a_word(root: RootRunner) -> None:
    elf = b"\x7fELF\x02\x01\x01" + bytes(11) + b"\x3e\x00"
    result = build(root, "foreign", [[*tiny("foreign"), File("rootfs/opt/x86", elf, mode=0o777)]])
    assert "x86" not in result.stderr
    (root.lab / "out/foreign.sqsh").write_bytes(appended(result.file)["0.sqsh"])
    listing = root.tool("unsquashfs", "-lln", "/LAB/out/foreign.sqsh").splitlines()
    (line,) = [line for line in listing if line.endswith("squashfs-root/opt/x86")]
    assert line.startswith("-rwxrwxrwx 0/0")


@pytest.mark.parametrize("version", ["v1.13.6", "v1.11.3"])
def test_amd64_uki_is_an_amd64_file_with_amd64_arguments(root: RootRunner, version: str) -> None:
    uki = read_pe(build(root, f"x64-{version}", [], arch="amd64", kind="uki", version=version).file)
    assert uki.machine == 0x8664
    assert dict(uki.sections)[".cmdline"].startswith(b"talos.platform=metal console=tty0 init_on_alloc=1")


def test_disk_too_small_for_its_partitions_is_refused(root: RootRunner) -> None:
    profile = "arch: arm64\nplatform: metal\nversion: v1.13.6\noutput:\n  kind: image\n  outFormat: raw\n"
    profile += "  imageOptions: {diskSize: 1000000000, diskFormat: raw}\n"
    result = root.run("small", profile, "v1.13.6")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: failed to install: failed to create partitions: failed to allocate partition EFI: "
        "no allocatable range found"
    )


def test_embedded_machine_configuration_carries_its_label_and_mode(root: RootRunner, tmp_path: Path) -> None:
    profile = "arch: arm64\nplatform: metal\nversion: v1.13.6\n"
    profile += "customization:\n  embeddedMachineConfiguration: |\n    version: v1alpha1\n"
    profile += "output:\n  kind: initramfs\n  outFormat: raw\n"
    result = root.run("embed", profile, "v1.13.6")
    assert result.exit_code == 0, result.stderr
    (root.lab / "out/embed.sqsh").write_bytes(appended(result.file)["0.sqsh"])
    root.tool("unsquashfs", "-quiet", "-pf", "/LAB/out/embed.pseudo", "/LAB/out/embed.sqsh")
    pseudo = (root.lab / "out/embed.pseudo").read_bytes()
    (label,) = re.findall(rb"^/?usr/local/etc/talos/config.yaml x (\S+)", pseudo, re.MULTILINE)
    assert label == b"security.selinux=system_u:object_r:system_state_t:s0"
    text = root.tool("unsquashfs", "-cat", "/LAB/out/embed.sqsh", "usr/local/etc/talos/config.yaml")
    assert text == "version: v1alpha1\n"
