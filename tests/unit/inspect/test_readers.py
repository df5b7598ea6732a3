"""What each reader says of a good file of its kind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.models import (
    CmdlineFacts,
    DiskFacts,
    EfiFacts,
    ExtensionFacts,
    ImageFacts,
    InitramfsFacts,
    IsoFacts,
    KernelFacts,
    SquashfsFacts,
    UkiFacts,
)
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path

    from ci.inspect.models import Inspection


def inspected(tmp_path: Path, data: bytes) -> Inspection:
    path = tmp_path / "file"
    path.write_bytes(data)
    found = inspect_path(path)
    assert (found.name, found.size, found.sha256) == ("file", len(data), samples.sha(data))
    return found


TREE = [
    File("etc/cri/conf.d/10-spin.part", b"x"),
    File("usr/local/bin/shim", samples.elf("arm64", os.urandom(20_000)), 0o755),
    File("usr/local/bin/empty"),
    File("usr/local/bin/blocks", bytes(8192)),
    File("usr/local/bin/libé.so", target="libé.so.1"),
    *[File(f"usr/lib/modules/many/{number:04}.ko", samples.module()) for number in range(300)],
]


@pytest.mark.parametrize("compression", ["zstd", "xz", "gzip"])
def test_squashfs_lists_every_file_with_digest_and_machine(tmp_path: Path, compression: str) -> None:
    facts = inspected(tmp_path, samples.squashfs(TREE, compression)).facts
    assert isinstance(facts, SquashfsFacts)
    assert (facts.compression, facts.block_size, facts.created) == (compression, 4096, 1700000000)
    entries = {entry.path: entry for entry in facts.entries if entry.type != "directory"}
    assert set(entries) == {file.path for file in TREE}
    for file in TREE:
        entry = entries[file.path]
        assert entry.target == file.target
        if file.target is None:
            assert (entry.size, entry.sha256, entry.mode) == (len(file.data), samples.sha(file.data), file.bits)
    assert entries["usr/local/bin/shim"].machine == "arm64"
    assert entries["usr/local/bin/blocks"].machine is None
    assert entries["usr/lib/modules/many/0299.ko"].vermagic == "6.18.38-talos SMP preempt mod_unload aarch64"
    assert {entry.path for entry in facts.entries if entry.type == "directory"} >= {"usr", "usr/lib/modules/many"}


def test_vermagic_is_found_across_blocks_and_in_compressed_modules(tmp_path: Path) -> None:
    split = samples.elf("arm64", bytes(4096 - 64 - 10) + samples.module("arm64", "6.1.0")[64:])
    packed = {kind: compress(samples.module("amd64", "6.2.0")) for kind, compress in samples.COMPRESS.items()}
    files = [File("a.ko", split), *[File(f"b-{kind}.ko.xz", data) for kind, data in packed.items()]]
    facts = inspected(tmp_path, samples.squashfs([*files, File("plain", samples.module())])).facts
    assert isinstance(facts, SquashfsFacts)
    found = {entry.path: ((entry.vermagic or "").split(" ")[0], entry.machine) for entry in facts.entries}
    assert found.pop("a.ko") == ("6.1.0", "arm64")
    assert found.pop("plain") == ("", "arm64")
    assert set(found.values()) == {("6.2.0", "amd64")}


SQSH = samples.squashfs([File("usr/local/bin/x", samples.elf())])
BASE = samples.cpio([File("init", samples.elf(), 0o755), File("rootfs.sqsh", SQSH)])
APPENDED = samples.cpio(
    [
        File("0.sqsh", samples.squashfs([File("a", b"b")], "xz")),
        File("extensions.yaml", samples.layers_yaml([samples.layer("0.sqsh", "spin", "0.10")])),
        File("usr/"),
        File("link", target="usr"),
    ]
)


@pytest.mark.parametrize("second", ["zstd", "xz", "gzip"])
@pytest.mark.parametrize("first", ["zstd", "xz", "gzip"])
def test_initramfs_of_two_frames_lists_both_archives_and_the_images_inside(
    tmp_path: Path, first: str, second: str
) -> None:
    frames = samples.COMPRESS[first](BASE), samples.COMPRESS[second](APPENDED)
    found = inspected(tmp_path, frames[0] + frames[1])
    facts = found.facts
    assert isinstance(facts, InitramfsFacts)
    assert [frame.compression for frame in facts.frames] == [first, second]
    assert [(frame.offset, frame.size) for frame in facts.frames] == [
        (0, len(frames[0])),
        (len(frames[0]), len(frames[1])),
    ]
    assert [frame.expanded for frame in facts.frames] == [len(BASE), len(APPENDED)]
    assert [[entry.path for entry in frame.entries] for frame in facts.frames] == [
        ["init", "rootfs.sqsh"],
        ["0.sqsh", "extensions.yaml", "usr", "link"],
    ]
    assert facts.frames[0].entries[0].machine == "arm64"
    assert facts.frames[1].entries[3].target == "usr"
    assert facts.layers is not None
    layer = facts.layers[0]
    assert (layer.image, layer.name, layer.version, layer.compatibility) == ("0.sqsh", "spin", "0.10", ">= v1.0.0")
    assert [node.name for node in found.contents] == ["rootfs.sqsh", "0.sqsh"]


def test_initramfs_with_plain_microcode_before_and_zeros_between_is_read_as_the_kernel_does(tmp_path: Path) -> None:
    microcode = samples.cpio([File("kernel/"), File("kernel/x86/microcode/GenuineIntel.bin", b"ucode")])
    data = microcode + bytes(512) + samples.zstd(BASE + bytes(300)) + bytes(8) + samples.zstd(APPENDED)
    facts = inspected(tmp_path, data).facts
    assert isinstance(facts, InitramfsFacts)
    assert [frame.compression for frame in facts.frames] == ["none", "zstd", "zstd"]
    assert facts.frames[0].entries[1].path == "kernel/x86/microcode/GenuineIntel.bin"


def test_version_in_yaml_stays_text(tmp_path: Path) -> None:
    archive = samples.cpio(
        [File("extensions.yaml", b"layers:\n- image: 0.sqsh\n  metadata: {name: a, version: 1.10}\n")]
    )
    facts = inspected(tmp_path, samples.zstd(archive)).facts
    assert isinstance(facts, InitramfsFacts)
    assert facts.layers is not None
    assert facts.layers[0].version == "1.10"


@pytest.mark.parametrize(
    ("data", "form", "machine", "efi"),
    [
        (samples.kernel("6.1.0-50-arm64"), "arm64-image", "arm64", True),
        (samples.kernel("6.1.0-50-arm64", "amd64"), "x86-bzimage", "amd64", True),
        (samples.zboot("6.1.0-50-arm64"), "arm64-zboot", "arm64", True),
        (samples.gz(samples.kernel("6.1.0-50-arm64")), "arm64-image-gzip", "arm64", False),
        (samples.kernel("6.1.0-50-arm64").replace(b"PE\0\0", b"\0\0\0\0"), "arm64-image", "arm64", False),
    ],
)
def test_kernel_tells_format_machine_and_release(
    tmp_path: Path, data: bytes, form: str, machine: str, efi: bool
) -> None:
    facts = inspected(tmp_path, data).facts
    assert isinstance(facts, KernelFacts)
    assert (facts.format, facts.machine, facts.efi, facts.version) == (form, machine, efi, "6.1.0-50-arm64")


def test_kernel_release_is_found_across_the_border_of_two_reads(tmp_path: Path) -> None:
    head = samples.kernel("6.1.0")
    at = head.index(b"Linux version 6")
    padded = head[:at] + bytes((1 << 20) - at - 20) + head[at:]
    facts = inspected(tmp_path, padded).facts
    assert isinstance(facts, KernelFacts)
    assert facts.version == "6.1.0"


def test_uki_shows_its_texts_and_what_is_inside(tmp_path: Path) -> None:
    kernel = samples.kernel(payload=os.urandom(200_000))
    initramfs = samples.zstd(BASE + bytes(512)) + samples.zstd(APPENDED)
    found = inspected(tmp_path, samples.uki(kernel, initramfs))
    facts = found.facts
    assert isinstance(facts, UkiFacts)
    assert (facts.machine, facts.cmdline, facts.uname) == ("arm64", samples.CMDLINE, "6.18.38-talos")
    assert facts.osrel["VERSION_ID"] == "v1.13.6"
    assert facts.osrel["PRETTY_NAME"] == "Talos (v1.13.6)"
    # The content's own digest, without the padding to the file's alignment.
    assert (facts.kernel_sha256, facts.initramfs_sha256) == (samples.sha(kernel), samples.sha(initramfs))
    assert [section.name for section in facts.sections][-3:] == [".linux", ".initrd", ".profile"]
    assert [(node.name, node.kind, node.sha256) for node in found.contents] == [
        (".linux", "kernel", samples.sha(kernel)),
        (".initrd", "initramfs", samples.sha(initramfs)),
    ]


def test_uki_with_profiles_shows_all_command_lines(tmp_path: Path) -> None:
    sections = [(".linux", samples.kernel()), (".cmdline", b"talos.platform=metal"), (".profile", b"ID=main")]
    sections += [(".profile", b"ID=reset"), (".cmdline", b"talos.platform=metal reset=1")]
    facts = inspected(tmp_path, samples.pe("arm64", sections)).facts
    assert isinstance(facts, UkiFacts)
    assert facts.cmdline == "talos.platform=metal"
    assert facts.more_cmdlines == ("talos.platform=metal reset=1",)


def test_boot_loader_is_an_efi_file(tmp_path: Path) -> None:
    facts = inspected(tmp_path, samples.boot_loader("amd64")).facts
    assert isinstance(facts, EfiFacts)
    assert (facts.machine, facts.sbat) == ("amd64", "sbat,1,SBAT Version\nsystemd-boot,1")


UKI = samples.uki(samples.kernel(), samples.zstd(BASE))


def test_installer_shows_configuration_layers_and_boot_files(tmp_path: Path) -> None:
    image = samples.installer(UKI, samples.boot_loader())
    found = inspected(tmp_path, image.archive())
    facts = found.facts
    assert isinstance(facts, ImageFacts)
    assert (facts.format, facts.os, facts.architecture) == ("docker-archive", "linux", "arm64")
    assert facts.tags == ("ghcr.io/siderolabs/installer-base:v1.13.6",)
    assert facts.labels == {"alpha.talos.dev/version": "v1.13.6"}
    assert facts.entrypoint == ("/bin/installer",)
    assert tuple(layer.diff_id for layer in facts.layers) == facts.diff_ids
    assert {layer.blob: layer.sha256 for layer in facts.layers}.items() <= facts.claimed.items()
    boot = [entry for entry in facts.entries if entry.path.startswith("usr/install/")]
    assert [(entry.path, entry.mode, entry.sha256) for entry in boot] == [
        ("usr/install/arm64/systemd-boot.efi", 0, samples.sha(samples.boot_loader())),
        ("usr/install/arm64/vmlinuz.efi", 0, samples.sha(UKI)),
    ]
    assert [(node.name, node.kind) for node in found.contents] == [
        ("usr/install/arm64/systemd-boot.efi", "efi"),
        ("usr/install/arm64/vmlinuz.efi", "uki"),
    ]


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_oci_layout_shows_the_same_as_a_docker_archive(tmp_path: Path, form: str) -> None:
    image = samples.installer(UKI, samples.boot_loader())
    path = tmp_path / "layout"
    if form == "tar":
        path.write_bytes(samples.tar(image.layout()))
    else:
        for file in image.layout():
            (path / file.path).parent.mkdir(parents=True, exist_ok=True)
            (path / file.path).write_bytes(file.data)
    found, archive = inspect_path(path), inspected(tmp_path, image.archive())
    assert isinstance(found.facts, ImageFacts)
    assert isinstance(archive.facts, ImageFacts)
    assert found.facts.format == "oci-layout"
    assert found.facts.layers[0].compression == "zstd"
    assert found.facts.entries == archive.facts.entries
    assert found.facts.claimed != {}
    assert [node.kind for node in found.contents] == ["efi", "uki"]


def test_layers_merge_as_a_container_sees_them(tmp_path: Path) -> None:
    image = samples.Image(
        [
            [
                File("a/"),
                File("a/one", b"1"),
                File("a/two", b"2"),
                File("b/"),
                File("b/three", b"3"),
                File("c", b"old"),
            ],
            [File("a/.wh.one"), File("b/.wh..wh..opq"), File("b/four", b"4"), File("c/"), File("c/five", b"5")],
        ]
    )
    facts = inspected(tmp_path, image.archive()).facts
    assert isinstance(facts, ImageFacts)
    assert [entry.path for entry in facts.entries] == ["a", "a/two", "b", "b/four", "c", "c/five"]


MEDIA = [File("EFI/BOOT/BOOTAA64.EFI", samples.boot_loader()), File("EFI/Linux/Talos-v1.13.6.efi", UKI)]


def test_iso_shows_volume_files_and_boot_files(tmp_path: Path) -> None:
    found = inspected(tmp_path, sample_media.iso([*MEDIA, File("loader/loader.conf", b"timeout 10\n")]))
    facts = found.facts
    assert isinstance(facts, IsoFacts)
    assert facts.volume == "TALOS_V1_13_6"
    files = {entry.path: (entry.size, entry.sha256) for entry in facts.entries if entry.type == "file"}
    assert files == {
        "EFI/BOOT/BOOTAA64.EFI": (len(samples.boot_loader()), samples.sha(samples.boot_loader())),
        "EFI/Linux/Talos-v1.13.6.efi": (len(UKI), samples.sha(UKI)),
        "loader/loader.conf": (11, samples.sha(b"timeout 10\n")),
    }
    assert [(node.name, node.kind) for node in found.contents] == [(MEDIA[0].path, "efi"), (MEDIA[1].path, "uki")]


@pytest.mark.parametrize(
    ("bits", "packing"), [(12, "none"), (12, "zstd"), (16, "none"), (16, "xz"), (16, "gzip"), (32, "zstd")]
)
def test_disk_shows_partitions_and_the_files_of_its_esp(tmp_path: Path, bits: int, packing: str) -> None:
    disk = sample_media.gpt(
        [(sample_media.ESP, "EFI", sample_media.fat(MEDIA, bits)), (sample_media.LINUX, "META", bytes(1 << 20))]
    )
    found = inspected(tmp_path, samples.COMPRESS[packing](disk) if packing != "none" else disk)
    facts = found.facts
    assert isinstance(facts, DiskFacts)
    assert (facts.compression, facts.capacity) == (packing, len(disk))
    assert [(partition.name, partition.type) for partition in facts.partitions] == [("EFI", "esp"), ("META", "linux")]
    files = {entry.path: entry.sha256 for entry in facts.partitions[0].entries if entry.type == "file"}
    assert files == {file.path: samples.sha(file.data) for file in MEDIA}
    assert [(node.name, node.kind) for node in found.contents] == [(MEDIA[0].path, "efi"), (MEDIA[1].path, "uki")]


EXTENSION = [
    File("manifest.yaml", samples.manifest()),
    File("rootfs/"),
    File("rootfs/usr/"),
    File("rootfs/usr/local/"),
    File("rootfs/usr/local/bin/"),
    File("rootfs/usr/local/bin/shim", samples.elf("arm64"), 0o755),
    File("rootfs/usr/local/bin/open", b"x", 0o666),
]


def unpacked(root: Path, files: list[File]) -> Path:
    for file in files:
        path = root / file.path
        if file.path.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.data)
            path.chmod(file.bits)
    return root


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz"])
def test_extension_image_shows_manifest_and_files(tmp_path: Path, form: str) -> None:
    path = tmp_path / "extension"
    if form == "folder":
        unpacked(path, EXTENSION)
    else:
        data = samples.tar(EXTENSION)
        path.write_bytes(samples.gz(data) if form == "tar.gz" else data)
    facts = inspect_path(path).facts
    assert isinstance(facts, ExtensionFacts)
    assert (facts.manifest_version, facts.name, facts.version) == ("v1alpha1", "spin", "v0.21.0")
    assert facts.compatibility == ">= v1.0.0"
    found = {entry.path: (entry.machine, entry.mode) for entry in facts.entries if entry.type == "file"}
    assert found == {"usr/local/bin/shim": ("arm64", 0o755), "usr/local/bin/open": (None, 0o666)}
    assert facts.strays == ()


def test_command_line_text_and_data_are_told_apart(tmp_path: Path) -> None:
    facts = inspected(tmp_path, f"{samples.CMDLINE}\n".encode()).facts
    assert isinstance(facts, CmdlineFacts)
    assert facts.cmdline == samples.CMDLINE
    assert inspected(tmp_path, b'{"cmdline": "talos.platform=metal"}').kind == "text"
    assert inspected(tmp_path, b"talos.platform=metal\nsecond line\n").kind == "text"
    assert inspected(tmp_path, b"\x00\x01\x02").kind == "data"
    assert inspected(tmp_path, samples.elf("amd64")).kind == "elf"
    assert inspected(tmp_path, samples.zstd(b"only text")).kind == "data"
    assert inspected(tmp_path, b"").kind == "text"


def test_folder_reads_repeated_bytes_once_and_goes_on_past_a_bad_file(tmp_path: Path) -> None:
    initramfs = samples.zstd(samples.cpio([File("init", samples.elf("arm64", os.urandom(2000)))]))
    for name, data in {
        "boot/initramfs.xz": initramfs,
        "boot/vmlinuz": samples.kernel(),
        "uki/metal.efi": samples.uki(samples.kernel(), initramfs),
        "broken.xz": initramfs[:-5],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = inspect_path(tmp_path)
    kinds = {node.name: node.kind for node in found.contents}
    assert kinds == {
        "boot/initramfs.xz": "initramfs",
        "boot/vmlinuz": "kernel",
        "broken.xz": "unreadable",
        "uki/metal.efi": "uki",
    }
    uki = found.contents[-1]
    assert [(node.name, node.same_as, node.contents) for node in uki.contents] == [
        (".linux", "boot/vmlinuz", ()),
        (".initrd", "boot/initramfs.xz", ()),
    ]
    assert {entry.path: entry.type for entry in found.facts.entries} == {  # type: ignore[union-attr]
        "boot": "directory",
        "uki": "directory",
        "link": "symlink",
    }


def test_inspection_goes_through_json_unchanged(tmp_path: Path) -> None:
    found = inspected(tmp_path, samples.installer(UKI, samples.boot_loader()).archive())
    assert type(found).model_validate_json(found.model_dump_json()) == found
