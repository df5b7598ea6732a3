"""Inspections as text and documents, what changed between two, and the command line of `ci.inspect`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from ci.inspect.inspect import inspect_path
from ci.inspect.models import Inspection
from ci.report.diff import Difference, diff, render_diff
from ci.report.inspection import render, size_text
from ci.steps.inspect import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import Spec, build, drbd, good, spin, tailscale

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1024, "1.0 KiB"),
        (1_500_000, "1.4 MiB"),
        (5 << 30, "5.0 GiB"),
        (5 << 34, "80.0 GiB"),
    ],
)
def test_sizes_have_few_digits(size: int, text: str) -> None:
    assert size_text(size) == text


def test_text_shows_what_is_inside_what(tmp_path: Path) -> None:
    build(tmp_path / "a", good())
    text = render(inspect_path(tmp_path / "a"), "text")
    for line in (
        "boot/vmlinuz: kernel",
        "arm64-image for arm64, EFI, release 6.18.38-talos",
        "0.sqsh = spin v0.21.0, for Talos >= v1.0.0",
        "entrypoint /bin/installer",
        "the same bytes as boot/initramfs.xz",
        "volume TALOS_V1_13_6",
        "partition 2 META: linux, 1.0 MiB",
        "command line: talos.platform=metal",
    ):
        assert line in text


def test_a_long_command_line_is_shown_whole(tmp_path: Path) -> None:
    line = samples.CMDLINE + " " + " ".join(f"argument{number}=value" for number in range(100))
    (tmp_path / "uki").write_bytes(samples.uki(samples.kernel(), samples.zstd(samples.cpio([])), cmdline=line))
    assert f"command line: {line}\n" in render(inspect_path(tmp_path / "uki"), "text")


def test_text_writes_control_characters_out(tmp_path: Path) -> None:
    archive = samples.cpio([File("usr/lib/firmware/\x1b[31mred\x07")])
    (tmp_path / "file").write_bytes(archive)
    text = render(inspect_path(tmp_path / "file"), "text")
    assert "\\x1b[31mred\\x07" in text
    assert "\x1b" not in text


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(samples.zstd(samples.cpio([File("init", samples.elf())])))
    found = inspect_path(tmp_path / "file")
    document = json.loads(render(found, "json"))
    assert yaml.safe_load(render(found, "yaml")) == document
    assert Inspection.model_validate(document) == found


def difference(tmp_path: Path, before: Spec, after: Spec) -> Difference:
    build(tmp_path / "before", before)
    build(tmp_path / "after", after)
    return diff(inspect_path(tmp_path / "before"), inspect_path(tmp_path / "after"))


def test_equal_assets_have_no_difference(tmp_path: Path) -> None:
    found = difference(tmp_path, good(), good())
    assert not found.changed
    assert render_diff(found, "text").endswith("no difference\n")


def test_new_versions_and_extensions_are_told_by_name(tmp_path: Path) -> None:
    newer = replace(good(), extensions=[tailscale(), replace(spin(), version="v0.22.0"), drbd()])
    text = render_diff(difference(tmp_path, good(), newer), "text")
    part = text.partition("@@ boot/initramfs.xz\n")[2].partition("@@")[0]
    assert part.splitlines()[:2] == ["! extension spin: v0.21.0 -> v0.22.0", "+ extension tailscale: 1.94.1"]
    assert "@@ boot/initramfs.xz:tailscale\n+ squashfs: " in text
    # The images moved up by one place in the list: that is no change of their content.
    assert "@@ boot/initramfs.xz:drbd" not in text


def test_files_that_came_went_or_changed_inside_an_extension_are_told(tmp_path: Path) -> None:
    files = [File("usr/local/bin/containerd-shim-spin-v2", samples.elf("arm64", b"new"), 0o755), File("usr/local/n")]
    found = difference(tmp_path, good(), replace(good(), extensions=[replace(spin(), files=files), drbd()]))
    changes = {change.what: change.kind for change in found.changes if change.place == "boot/initramfs.xz:spin"}
    assert changes["file usr/local/bin/containerd-shim-spin-v2"] == "changed"
    assert changes["file usr/local/n"] == "added"
    assert changes["file etc/cri/conf.d/10-spin.part"] == "removed"


def test_kernel_talos_version_and_command_line_are_told(tmp_path: Path) -> None:
    old, new = samples.kernel("6.12.52-talos"), samples.kernel("6.18.38-talos")
    line = samples.CMDLINE.replace("pti=on", "quiet")
    (tmp_path / "old.efi").write_bytes(samples.uki(old, samples.zstd(samples.cpio([])), talos="v1.11.3"))
    (tmp_path / "new.efi").write_bytes(samples.uki(new, samples.zstd(samples.cpio([])), cmdline=line))
    found = diff(inspect_path(tmp_path / "old.efi"), inspect_path(tmp_path / "new.efi"))
    changes = {(change.place, change.what): (change.before, change.after) for change in found.changes}
    assert changes["", "Talos version"] == ("v1.11.3", "v1.13.6")
    assert changes["", "argument pti"] == ("on", None)
    assert changes["", "argument quiet"] == (None, "")
    assert changes[".linux", "version"] == ("6.12.52-talos", "6.18.38-talos")


def test_an_output_that_no_longer_embeds_the_same_initramfs_is_told(tmp_path: Path) -> None:
    other = samples.zstd(samples.cpio([File("init", samples.elf("arm64", bytes(range(256)) * 8))]))
    found = difference(tmp_path, good(), replace(good(), uki_initramfs=other))
    assert any(change.place.endswith(":.initrd") and change.what == "content" for change in found.changes)


def test_bytes_that_differ_in_nothing_that_is_compared_are_told(tmp_path: Path) -> None:
    for name, mtime in (("before", 1), ("after", 2)):
        (tmp_path / name).write_bytes(samples.cpio([File("init", samples.elf())], mtime=mtime))
    found = diff(inspect_path(tmp_path / "before"), inspect_path(tmp_path / "after"))
    assert [(change.what, change.kind) for change in found.changes] == [("content", "changed")]


def test_another_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "before").write_bytes(samples.elf())
    (tmp_path / "after").write_bytes(samples.kernel())
    found = diff(inspect_path(tmp_path / "before"), inspect_path(tmp_path / "after"))
    assert ("kind", "elf", "kernel") in {(change.what, change.before, change.after) for change in found.changes}


def test_command_line_shows_a_file_under_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kernel").write_bytes(samples.kernel())
    assert main(["show", str(tmp_path / "kernel")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/kernel: kernel, ")
    assert main(["show", str(tmp_path / "kernel"), "--name", "ghcr.io/a/b:c"]) == 0
    assert capsys.readouterr().out.startswith("ghcr.io/a/b:c: kernel, ")


@pytest.mark.parametrize("name", [None, "initramfs.xz"])
def test_command_line_fails_on_what_cant_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str | None
) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(samples.zstd(samples.cpio([]))[:-1])
    assert main(["show", str(bad), *(["--name", name] if name else [])]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {name or bad}: zstd frame at byte 0: ")


def test_command_line_of_two_that_cant_be_read_tells_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-on-change"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {tmp_path / name}: no such file" for name in "ab"]


def test_command_line_compares_and_fails_on_change_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "before").write_bytes(samples.kernel("6.1.0"))
    (tmp_path / "after").write_bytes(samples.kernel("6.2.0"))
    paths = [str(tmp_path / "before"), str(tmp_path / "after")]
    assert main(["diff", *paths]) == 0
    assert "! version: 6.1.0 -> 6.2.0" in capsys.readouterr().out
    assert main(["diff", *paths, "--fail-on-change", "--names", "1.1", "1.2", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["before"], found["after"], found["changes"][0]["what"]) == ("1.1", "1.2", "version")
    assert main(["diff", paths[0], paths[0], "--fail-on-change"]) == 0


def test_folders_have_the_names_that_they_are_given(tmp_path: Path) -> None:
    build(tmp_path / "a", good())
    assert render(inspect_path(tmp_path / "a", name="assets"), "text").startswith("assets: folder\n")
