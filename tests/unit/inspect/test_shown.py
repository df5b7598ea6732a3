"""What names in files do to what is shown: nothing. And how much of it is shown."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from ci.compare.folders import compare_folders
from ci.inspect.errors import NoSpaceError
from ci.inspect.inspect import inspect_path
from ci.inspect.models import DiskFacts, InitramfsFacts
from ci.report.diff import diff, render_diff
from ci.report.inspection import render
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from ci.report.inspection import Format

TOP = Path(__file__).parents[3]
HOSTILE = "\x1b[31mred\x07\nforged: line\r\x9b2J\u202egnp\u200b\u2028é"


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def hostile(path: Path, word: str) -> Path:
    members = [
        File(f"usr/{word}", b"1"),
        File("link", target=word),
        File("0.sqsh", samples.squashfs([File(f"lib/{word}", b"x")])),
    ]
    uki = samples.uki(samples.kernel(), samples.zstd(samples.cpio(members)), cmdline=f"a={word}", uname=word)
    path.mkdir()
    (path / f"uki{word}.efi").write_bytes(uki)
    (path / "extension.tar").write_bytes(samples.tar([File(f"rootfs/{word}"), File("a", target=word)]))
    (path / "disk").write_bytes(sample_media.gpt([(sample_media.LINUX, word[:30], b"\1" * 512)]))
    (path / "broken").write_bytes(samples.tar([File(f"{word}/../x", b"")]))
    image = samples.Image([[File(word, b"")]], tags=[word], labels={word: word}, entrypoint=[word], created=word)
    (path / "image.tar").write_bytes(image.archive())
    printed = word[word.index("\x9b") :]
    (path / "menu").write_text(f"menuentry '{printed}' {{ linux '/{printed}'\n}}\n")
    return path


@pytest.mark.parametrize("form", ["text", "json", "yaml"])
def test_no_name_in_a_file_reaches_an_output_as_it_is(tmp_path: Path, form: Format) -> None:
    word = HOSTILE.replace("\n", "\v")
    one, other = hostile(tmp_path / "a", word), hostile(tmp_path / "b", word + "\x85")
    found = inspect_path(one)
    kinds = {node.kind for node in found.contents}
    assert kinds == {"uki", "archive", "disk", "unreadable", "image", "menu"}
    texts = [render(found, form, whole=True), render_diff(diff(found, inspect_path(other)), form)]
    texts.append(compare_folders(one, other).render(form))
    for text in texts:
        assert is_harmless(text)
    if form == "json":
        assert json.loads(texts[0]) == found.model_dump(mode="json", exclude_none=True)
    if form == "yaml":
        assert yaml.safe_load(texts[0]) == found.model_dump(mode="json", exclude_none=True)


def test_a_line_feed_in_a_name_forges_no_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x\nuki: harmless").write_bytes(samples.kernel())
    text = render(inspect_path(tmp_path / "a"), "text")
    assert "x\\nuki: harmless: kernel" in text


def test_what_can_be_printed_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(samples.zstd(samples.cpio([File("libé-日本.so")])))
    for form in ("text", "json", "yaml"):
        assert "libé-日本.so" in render(inspect_path(tmp_path / "a"), form)


def medium(path: Path, count: int) -> Path:
    files = [File(f"boot/grub/arm64-efi/{number:03}.mod", bytes(100)) for number in range(count)]
    files += [File("boot/vmlinuz", samples.kernel()), File("boot/grub/grub.cfg", b"set timeout=3\n")]
    path.write_bytes(sample_media.iso(files))
    return path


def test_a_folder_of_many_files_is_one_line_unless_all_are_wanted(tmp_path: Path) -> None:
    found = inspect_path(medium(tmp_path / "iso", 300))
    text = render(found, "text")
    assert "boot/grub/arm64-efi/: 300 files, 29.3 KiB" in text
    assert ".mod" not in text
    assert "boot/vmlinuz" in text
    assert len(text.splitlines()) < 12
    assert render(found, "text", whole=True).count(".mod\n") == 300
    assert render(found, "json").count(".mod") == 300


def test_a_folder_of_few_files_is_listed(tmp_path: Path) -> None:
    assert render(inspect_path(medium(tmp_path / "iso", 12)), "text").count(".mod\n") == 12


def test_an_initramfs_next_to_grub_that_begins_with_plain_cpio_is_read(tmp_path: Path) -> None:
    microcode = samples.cpio([File("kernel/"), File("kernel/x86/microcode/GenuineIntel.bin", b"ucode")])
    initramfs = microcode + samples.zstd(samples.cpio([File("init", samples.elf("amd64"))]))
    files = [File("boot/vmlinuz", samples.kernel(machine="amd64")), File("boot/initramfs.xz", initramfs)]
    (tmp_path / "iso").write_bytes(sample_media.iso(files))
    nodes = {node.name: node for node in inspect_path(tmp_path / "iso").contents}
    assert set(nodes) == {"boot/vmlinuz", "boot/initramfs.xz"}
    assert isinstance(nodes["boot/initramfs.xz"].facts, InitramfsFacts)


def test_a_boot_file_that_no_reader_expands_is_named(tmp_path: Path) -> None:
    files = [File("boot/initramfs", b"\x02\x21\x4c\x18" + bytes(600)), File("boot/vmlinuz", samples.kernel())]
    (tmp_path / "iso").write_bytes(sample_media.iso(files))
    nodes = {node.name: node for node in inspect_path(tmp_path / "iso").contents}
    assert nodes["boot/vmlinuz"].kind == "kernel"
    assert nodes["boot/initramfs"].kind == "unreadable"
    assert "packed with lz4" in render(inspect_path(tmp_path / "iso"), "text")


def test_a_sparse_disk_of_a_tebibyte_costs_by_its_content(tmp_path: Path) -> None:
    esp = sample_media.fat([File("EFI/boot/BOOTAA64.efi", samples.boot_loader())], 12)
    start = sample_media.gpt_start([(sample_media.ESP, "EFI", len(esp)), (sample_media.LINUX, "EPHEMERAL", 1 << 40)])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "disk.raw").open("wb") as file:
            file.write(start + esp)
            file.truncate((1 << 40) + (64 << 20))
    began = time.monotonic()
    found = inspect_path(tmp_path / "a" / "disk.raw")
    folder = inspect_path(tmp_path / "a")
    assert compare_folders(tmp_path / "a", tmp_path / "b").equal
    assert time.monotonic() - began < 20
    assert isinstance(found.facts, DiskFacts)
    assert (found.size, found.sha256, found.facts.unread) == ((1 << 40) + (64 << 20), "", ())
    assert [node.kind for node in found.contents] == ["efi"]
    assert "disk, 1024.1 GiB, too large for a checksum" in render(folder, "text")
    with (tmp_path / "b" / "disk.raw").open("r+b") as file:
        file.seek(700 << 30)
        file.write(b"\1")
    comparison = compare_folders(tmp_path / "a", tmp_path / "b")
    assert str(comparison.files[0].first_difference).startswith("partition 2 EPHEMERAL")


def test_what_has_no_checksum_is_not_said_to_be_equal(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\1")
    found = inspect_path(tmp_path / "a").model_copy(update={"sha256": ""})
    assert [change.before for change in diff(found, found).changes] == ["not compared: too large for a checksum"]


def test_a_machine_without_room_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").write_bytes(samples.zstd(sample_media.gpt([(sample_media.LINUX, "A", os.urandom(4096))])))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    for path in (tmp_path / "disk", tmp_path):
        with pytest.raises(NoSpaceError, match="No space left on device; TMPDIR may name a folder with more space"):
            inspect_path(path)


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=TOP,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    )


def test_a_temporary_file_that_can_not_grow_is_an_error_of_one_line(tmp_path: Path) -> None:
    disk = sample_media.gpt([(sample_media.LINUX, "A", os.urandom(300_000))])
    (tmp_path / "disk").write_bytes(samples.zstd(disk))
    done = run("ci.steps.inspect", "show", str(tmp_path / "disk"), preexec_fn=_small_files, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"error: {tmp_path / 'disk'}: no temporary file for it: File too large" in done.stderr


@pytest.mark.parametrize("program", ["inspect", "compare", "verify"])
def test_an_output_that_takes_nothing_is_an_error_of_one_line(tmp_path: Path, program: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"1")
    folder = str(tmp_path / "a")
    arguments = {
        "inspect": ["show", folder],
        "compare": [folder, folder],
        "verify": ["extensions", "--talos", "v1.13.6", "--arch", "arm64", folder],
    }[program]
    with Path("/dev/full").open("w") as full:
        done = run(f"ci.steps.{program}", *arguments, stdout=full)
    assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")


@pytest.mark.parametrize("program", ["inspect", "compare"])
def test_names_that_are_no_utf8_are_named(tmp_path: Path, program: str) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    strange.mkdir()
    (strange / os.fsdecode(b"bad-\xe9")).write_bytes(samples.zstd(b"x")[:-1])
    arguments = ["show", str(strange)] if program == "inspect" else [str(strange)] * 2
    done = run(f"ci.steps.{program}", *arguments, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bad-\\xe9" in done.stdout
    done = run(
        f"ci.steps.{program}",
        *[f"{argument}/gone" if "\udcff" in argument else argument for argument in arguments],
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 2
    assert "\\xff\\xfe/gone: no such" in done.stderr
