"""Broken and hostile files: a typed error that names file and place, in bounded memory, and never anything else."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.inspect.errors import (
    CorruptFileError,
    InspectError,
    LimitExceededError,
    MissingFileError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFileError,
)
from ci.inspect.inspect import inspect_path
from ci.inspect.limits import Limits
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

TREE = [
    File("usr/local/bin/shim", samples.elf("arm64", bytes(range(256)) * 40), 0o755),
    File("usr/lib/modules/6.1/a.ko", samples.module()),
    File("link", target="usr"),
]
IMAGES = {kind: samples.squashfs(TREE, kind) for kind in ("zstd", "xz", "gzip")}
ARCHIVE = samples.cpio(
    [
        File("init", samples.elf()),
        File("rootfs.sqsh", IMAGES["zstd"]),
        File("extensions.yaml", samples.layers_yaml([samples.layer("0.sqsh", "spin", "1")])),
    ]
)
UKI = samples.uki(samples.kernel(), samples.zstd(ARCHIVE))
INSTALLER = samples.installer(UKI, samples.boot_loader())
ESP = sample_media.fat([File("EFI/boot/BOOTAA64.efi", samples.boot_loader())], 12)

GOOD: dict[str, bytes] = {
    **{f"squashfs-{kind}": data for kind, data in IMAGES.items()},
    "cpio": ARCHIVE,
    **{f"initramfs-{kind}": pack(ARCHIVE) for kind, pack in samples.COMPRESS.items()},
    "kernel": samples.kernel(),
    "bzimage": samples.kernel(machine="amd64"),
    "zboot": samples.zboot(),
    "uki": UKI,
    "docker-archive": INSTALLER.archive(),
    "oci-layout": samples.tar(INSTALLER.layout()),
    "iso": sample_media.iso([File("EFI/BOOT/BOOTAA64.EFI", samples.boot_loader())]),
    "disk": sample_media.gpt([(sample_media.ESP, "EFI", ESP)]),
    "disk-zstd": samples.zstd(sample_media.gpt([(sample_media.ESP, "EFI", ESP)])),
    "kernel-gzip": samples.gz(samples.kernel()),
    "extension": samples.tar([File("manifest.yaml", samples.manifest()), File("rootfs/usr/local/x", samples.elf())]),
}


def outcome(path: Path, data: bytes, limits: Limits | None = None) -> InspectError | None:
    """Inspects and returns the typed error, if there was one; any other exception fails the test."""
    path.write_bytes(data)
    try:
        inspect_path(path, limits or Limits()).model_dump_json()
    except InspectError as error:
        return error
    return None


def refused(tmp_path: Path, data: bytes, limits: Limits | None = None) -> InspectError:
    error = outcome(tmp_path / "bad", data, limits)
    assert error is not None
    assert str(error).startswith(str(tmp_path / "bad"))
    assert error.reason
    return error


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_good_samples_are_good(tmp_path: Path, kind: str) -> None:
    assert outcome(tmp_path / "good", GOOD[kind]) is None


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_file_cut_anywhere_is_read_or_refused_and_nothing_else(tmp_path: Path, kind: str) -> None:
    data = GOOD[kind]
    for cut in sorted({len(data) * part // 60 for part in range(40)} | set(range(0, 128, 9))):
        outcome(tmp_path / "bad", data[:cut])


@pytest.mark.parametrize("kind", ["initramfs-zstd", "initramfs-xz", "initramfs-gzip", "cpio", "uki", "docker-archive"])
def test_a_file_cut_in_its_content_is_refused_with_the_place(tmp_path: Path, kind: str) -> None:
    data = GOOD[kind].rstrip(b"\0")
    for part in range(2, 20):
        error = refused(tmp_path, data[: len(data) * part // 20])
        assert isinstance(error, CorruptFileError)
        assert error.place or ":" in error.name


@pytest.mark.parametrize("kind", ["initramfs-zstd", "initramfs-xz", "initramfs-gzip"])
def test_a_flipped_bit_in_compressed_content_is_found_by_its_checksum(tmp_path: Path, kind: str) -> None:
    data = bytearray(GOOD[kind])
    for at in range(20, len(data) - 12, len(data) // 15):
        data[at] ^= 1
        assert isinstance(refused(tmp_path, bytes(data)), CorruptFileError), at
        data[at] ^= 1


EDIT = st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=8))


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_bytes_overwritten_anywhere_give_a_typed_error_or_none(tmp_path: Path, kind: str) -> None:
    good = GOOD[kind]
    # Most bytes of a disk are nothing: edits go to its tables and to what follows the start of a partition.
    hot = [*range(512, 1700), *range(1 << 20, (1 << 20) + 9000)] if kind == "disk" else range(len(good))

    @settings(
        derandomize=True,
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(edits=st.lists(EDIT, min_size=1, max_size=6), cut=st.one_of(st.none(), st.integers(0, len(good))))
    def run(edits: list[tuple[int, bytes]], cut: int | None) -> None:
        data = bytearray(good)
        for position, new in edits:
            at = hot[position % len(hot)]
            data[at : at + len(new)] = new[: len(data) - at]
        outcome(tmp_path / "bad", bytes(data[:cut]))

    run()


@settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(start=st.sampled_from(sorted(GOOD)), length=st.integers(0, 600), rest=st.binary(max_size=600))
def test_a_good_beginning_with_anything_behind_gives_a_typed_error_or_none(
    tmp_path: Path, start: str, length: int, rest: bytes
) -> None:
    outcome(tmp_path / "bad", GOOD[start][:length] + rest)


# Sizes that are absurd, content that is endless.


def entry(name: bytes, size: int = 0, mode: int = 0o100644, name_size: int | None = None) -> bytes:
    fields = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) if name_size is None else name_size, 0]
    out = b"070701" + "".join(f"{value:08x}" for value in fields).encode() + name
    return out + bytes(-len(out) % 4)


def test_cpio_entry_of_4_gib_in_a_small_archive_is_cut_short(tmp_path: Path) -> None:
    error = refused(tmp_path, samples.zstd(entry(b"init\0", 0xFFFFFFFF)))
    assert isinstance(error, TruncatedFileError)
    assert "the content of 'init'" in str(error)


def test_cpio_name_of_absurd_size_is_refused(tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path, samples.zstd(entry(b"init\0", name_size=0xFFFFFF))), LimitExceededError)


@pytest.mark.parametrize("name", [b"../etc/passwd\0", b"/etc/passwd\0", b"a/../../b\0", b"a\0b\0"])
def test_cpio_name_that_leads_out_is_refused(tmp_path: Path, name: bytes) -> None:
    error = refused(tmp_path, samples.zstd(entry(name) + samples.cpio([])))
    assert isinstance(error, UnsafePathError)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_tar_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    assert isinstance(refused(tmp_path, samples.tar([File(name, b"x")])), UnsafePathError)


def test_hard_link_out_of_a_layer_is_refused(tmp_path: Path) -> None:
    header = bytearray(samples.tar([File("x", target="../../etc/shadow")]))
    header[156:157] = b"1"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    assert isinstance(refused(tmp_path, bytes(header)), UnsafePathError)


def test_squashfs_name_with_a_slash_is_refused(tmp_path: Path) -> None:
    image = samples.squashfs([File("abcd", b"x")], plain=True)
    at = image.index(b"abcd")
    error = refused(tmp_path, image[:at] + b"a/cd" + image[at + 4 :])
    assert isinstance(error, CorruptFileError)
    assert "'a/cd'" in str(error)


def test_squashfs_file_of_absurd_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    image = bytearray(samples.squashfs([File("x", b"y" * 5000)], plain=True))
    at = image.index(struct.pack("<I", 5000))
    image[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    assert isinstance(refused(tmp_path, bytes(image)), CorruptFileError)


def test_squashfs_directory_that_contains_itself_ends_at_a_limit(tmp_path: Path) -> None:
    image = bytearray(samples.squashfs([File("a/b/c", b"x")], plain=True))
    directory_start = struct.unpack_from("<Q", image, 72)[0]
    root = struct.unpack_from("<Q", image, 32)[0] & 0xFFFF
    # The last listing is the root's; its one entry is made to point to the root's own inode.
    listing = image.index(b"a", directory_start)
    image[listing - 8 : listing - 6] = struct.pack("<H", root)
    error = refused(tmp_path, bytes(image))
    assert isinstance(error, LimitExceededError)
    assert "deeper than 64" in str(error)


def bomb(kind: str, size: int = 1 << 30) -> bytes:
    """A file of some KB or MB that expands to much more."""
    if kind == "zstd":
        # Blocks of type RLE: four bytes stand for 128 KiB.
        frame = struct.pack("<IBB", 0xFD2FB528, 0, 0x58)
        blocks = size // (128 * 1024)
        return (
            frame
            + struct.pack("<I", (128 * 1024) << 3 | 2)[:3] * 0
            + b"".join(
                struct.pack("<I", (128 * 1024) << 3 | 2 | (number == blocks - 1))[:3] + b"\0"
                for number in range(blocks)
            )
        )
    if kind == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        return b"".join(packer.compress(bytes(1 << 24)) for _ in range(size >> 24)) + packer.flush()
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join(packer.compress(bytes(1 << 24)) for _ in range(size >> 24)) + packer.flush()


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_a_bomb_is_refused_at_the_limit(tmp_path: Path, kind: str) -> None:
    error = refused(tmp_path, bomb(kind, 1 << 26), Limits(expanded=1 << 24))
    assert isinstance(error, LimitExceededError)
    assert "expands to more than 16777216 bytes" in str(error)


def test_an_initramfs_bomb_with_one_endless_file_is_refused(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    data = packer.compress(entry(b"init\0", 0xFFFFFFFF))
    data += b"".join(packer.compress(bytes(1 << 24)) for _ in range(16)) + packer.flush()
    assert isinstance(refused(tmp_path, data, Limits(expanded=1 << 26)), LimitExceededError)


def test_a_squashfs_block_that_claims_gigabytes_is_not_allocated(tmp_path: Path) -> None:
    # A zstd frame whose header claims 2 GiB, as metadata block.
    frame = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 1 << 31) + struct.pack("<I", 1)[:3]
    image = bytearray(samples.squashfs([File("x", b"y")], "zstd"))
    table = struct.unpack_from("<Q", image, 64)[0]
    image[table : table + 2 + len(frame)] = struct.pack("<H", len(frame)) + frame
    error = refused(tmp_path, bytes(image))
    assert "claims 2147483648 bytes" in str(error)


def test_too_many_names_are_refused(tmp_path: Path) -> None:
    many = samples.zstd(samples.cpio([File(f"usr/lib/firmware/{number}", b"") for number in range(101)]))
    assert outcome(tmp_path / "bad", many, Limits(entries=101)) is None
    error = refused(tmp_path, many, Limits(entries=100))
    assert "more than 100 names" in str(error)


def test_thousands_of_names_are_read(tmp_path: Path) -> None:
    many = samples.zstd(samples.cpio([File(f"usr/lib/firmware/{number}", b"") for number in range(20_000)]))
    assert outcome(tmp_path / "many", many) is None


def test_too_many_frames_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, samples.zstd(samples.cpio([])) * 65)
    assert "more than 64 frames" in str(error)


def test_a_tar_header_that_claims_gigabytes_of_names_is_refused(tmp_path: Path) -> None:
    header = bytearray(samples.tar([File("x", b"")])[:512])
    header[156:157] = b"x"
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    error = refused(tmp_path, bytes(header) + bytes(4096))
    assert isinstance(error, LimitExceededError)
    assert "claims 8589934591 bytes" in str(error)


def test_archives_in_archives_end_at_a_limit(tmp_path: Path) -> None:
    data = b"innermost"
    for _ in range(12):
        data = samples.Image([[File("usr/install/arm64/next", data)]]).archive()
    error = refused(tmp_path, data)
    assert "more than 8 archives in one another" in str(error)


def test_a_damaged_header_inside_a_layer_is_not_taken_for_the_end(tmp_path: Path) -> None:
    layer = bytearray(samples.tar([File("a", b"1"), File("b", b"2")]))
    layer[1024 + 5] = 0x41
    config = INSTALLER.config([bytes(layer)])
    manifest = b'[{"Config": "config.json", "Layers": ["layer.tar"]}]'
    members = [File("config.json", config), File("layer.tar", bytes(layer)), File("manifest.json", manifest)]
    error = refused(tmp_path, samples.tar(members))
    assert "layer.tar: behind 'a': a damaged header: bad checksum" in str(error)


def test_image_that_names_a_missing_blob_is_refused(tmp_path: Path) -> None:
    manifest = b'[{"Config": "gone.json", "RepoTags": null, "Layers": []}]'
    error = refused(tmp_path, samples.tar([File("manifest.json", manifest)]))
    assert "gone.json: the image names this file, which is not there" in str(error)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"{", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"[]", "holds 0 images, one is expected"),
        (b'[{"Config": 1, "Layers": []}]', "0.Config: Input should be a valid string"),
        (b'[{"Config": "manifest.json"}]', "Layers: Field required"),
    ],
)
def test_image_manifest_that_is_none_is_refused_with_the_field(tmp_path: Path, manifest: bytes, words: str) -> None:
    assert words in str(refused(tmp_path, samples.tar([File("manifest.json", manifest)])))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"version: v1alpha1\n", "metadata: Field required"),
        (b"version: v1alpha1\nmetadata: {name: x}\n", "metadata.version: Field required"),
        (b"a: &a [x]\nb: *a\n", "line 2: YAML aliases have no place here"),
        (b"a: [\n", "line 2: no valid YAML"),
        (b"[" * 5000, "no valid YAML"),
        (b"- x\n" * 200_000, "more than 100000 YAML items"),
        (b"\xff\xfe\x00", "no valid YAML"),
        (b"!!python/object/apply:os.system [true]\n", "no valid YAML"),
        (b"", "document: Input should be"),
    ],
)
def test_extension_manifest_that_is_none_is_refused_with_the_place(tmp_path: Path, text: bytes, words: str) -> None:
    error = refused(tmp_path, samples.tar([File("manifest.yaml", text), File("rootfs/")]))
    assert "manifest.yaml" in str(error)
    assert words in str(error)


def test_extension_without_root_file_system_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, samples.tar([File("manifest.yaml", samples.manifest())]))
    assert "/rootfs: a system extension needs this folder, it is missing" in str(error)


LOADER = samples.boot_loader()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LOADER[:0x80] + b"NE" + LOADER[0x82:], "no valid PE file"),
        (LOADER[:0x86] + b"\xff\xff" + LOADER[0x88:], "65535 sections (limit 96)"),
        (LOADER[:0x3C] + b"\xf0\xff\xff\xff" + LOADER[0x40:], "no valid PE file"),
        (LOADER[:-512], ".sbat needs 35 bytes"),
    ],
)
def test_pe_file_with_a_bad_header_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in str(refused(tmp_path, data))


def gpt_with(offset: int, value: bytes) -> bytes:
    """A disk whose partition table header is changed, its checksum true again."""
    disk = bytearray(GOOD["disk"])
    disk[512 + offset : 512 + offset + len(value)] = value
    disk[528:532] = bytes(4)
    disk[528:532] = struct.pack("<I", zlib.crc32(bytes(disk[512:604])))
    return bytes(disk)


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        (GOOD["disk"][:560] + b"\x01" + GOOD["disk"][561:], "the header's checksum is wrong"),
        (GOOD["disk"][:1100] + b"\x01" + GOOD["disk"][1101:], "the table's checksum is wrong"),
        (gpt_with(80, struct.pack("<I", 0xFFFFFFFF)), "4294967295 entries of 128 bytes (limit 128)"),
        (gpt_with(84, struct.pack("<I", 0xFFFFFFFF)), "128 entries of 4294967295 bytes"),
        (gpt_with(72, struct.pack("<Q", 1 << 50)), "the partition table needs 16384 bytes"),
    ],
)
def test_partition_table_that_lies_is_refused(tmp_path: Path, disk: bytes, words: str) -> None:
    assert words in str(refused(tmp_path, disk))


def test_fat_clusters_in_a_loop_are_refused(tmp_path: Path) -> None:
    esp = bytearray(sample_media.fat([File("EFI/boot/BOOTAA64.efi", samples.boot_loader())], 16))
    table = 512
    # The file's first clusters point to themselves.
    for cluster in range(2, 8):
        esp[table + cluster * 2 : table + cluster * 2 + 2] = struct.pack("<H", cluster)
    error = refused(tmp_path, sample_media.gpt([(sample_media.ESP, "EFI", bytes(esp))]))
    assert isinstance(error, CorruptFileError | LimitExceededError)


def test_esp_without_file_system_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, sample_media.gpt([(sample_media.ESP, "EFI", bytes(1 << 20))]))
    assert "the EFI system partition holds no FAT file system" in str(error)


def test_squashfs_of_another_version_or_compression_is_unsupported(tmp_path: Path) -> None:
    image = bytearray(IMAGES["gzip"])
    image[28] = 3
    assert isinstance(refused(tmp_path, bytes(image)), UnsupportedFileError)
    image[28], image[20] = 4, 5
    assert "compression lz4" in str(refused(tmp_path, bytes(image)))


def test_a_missing_path_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        inspect_path(tmp_path / "gone")


def test_names_that_are_no_utf8_are_written_out(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "folder") + b"/\xff")).write_bytes(b"x")
    found = inspect_path(tmp_path / "folder")
    assert [node.name for node in found.contents] == ["\\xff"]
    archive = samples.zstd(entry(b"\xfe\xff\0") + samples.cpio([]))
    assert outcome(tmp_path / "archive", archive) is None


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))


@pytest.mark.parametrize(
    "kind",
    ["zstd", "gzip", "xz", "many-names", "big-initramfs", "big-module", "big-layer", "big-disk", "big-section"],
)
def test_no_reader_needs_more_than_512_mib(tmp_path: Path, kind: str) -> None:
    if kind == "many-names":
        data = samples.zstd(samples.cpio([File(f"usr/lib/firmware/{number}") for number in range(20_000)]))
    elif kind == "big-initramfs":
        image = samples.squashfs([File("x", bytes(100_000_000))], block_size=1 << 20)
        data = samples.zstd(samples.cpio([File("init", os.urandom(30_000_000)), File("rootfs.sqsh", image)]))
    elif kind == "big-module":
        data = samples.squashfs([File("a.ko.zst", bomb("zstd"))], block_size=1 << 17)
    elif kind == "xz":
        data = samples.xz(bytes(1 << 28))
    elif kind == "big-layer":
        layer = samples.gz(samples.tar([File("usr/big", bytes(1 << 28))]))
        config = json.dumps({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}).encode()
        manifest = json.dumps([{"Config": "config.json", "Layers": ["layer.tar.gz"]}]).encode()
        members = [File("config.json", config), File("layer.tar.gz", layer), File("manifest.json", manifest)]
        data = samples.tar(members)
    elif kind == "big-disk":
        data = samples.zstd(
            sample_media.gpt([(sample_media.ESP, "EFI", ESP), (sample_media.LINUX, "X", bytes(1 << 28))])
        )
    elif kind == "big-section":
        data = samples.uki(samples.kernel(payload=os.urandom(1 << 27)), bomb("zstd", 1 << 28))
    else:
        data = bomb(kind, 1 << 28)
    (tmp_path / "file").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-m", "ci.steps.inspect", "show", "file", "--format", "json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        preexec_fn=_limit_memory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
