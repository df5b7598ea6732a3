"""A difference as a page: what matters first, sizes as bars, both sides next to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.report.diff import Change, Difference, diff
from ci.report.pages.diff_page import diff_page, difference_page
from ci.steps.inspect import main
from tests.unit.report.test_build_page import HOSTILE, checked
from tests.unit.verify.assets import Extension, build, good, tailscale

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(tmp_path: Path) -> str:
    spec = good()
    build(tmp_path / "before", spec)
    newer = replace(spec, talos="v1.14.0", extensions=[*spec.extensions, tailscale()])
    newer.extensions[0] = Extension("spin", "v0.22.0", spec.extensions[0].files)
    build(tmp_path / "after", newer)
    old, new = (inspect_path(tmp_path / name, name=name) for name in ("before", "after"))
    return diff_page(old, new, diff(old, new))


def test_what_matters_is_first_and_named_once(page: str) -> None:
    words = checked(page).words
    first = words.partition("Sizes")[0]
    assert "Talos version: changed before v1.13.6 after v1.14.0" in first
    assert first.count("Talos version: changed") == 1
    assert "extension spin: changed before v0.21.0 after v0.22.0" in first
    assert "extension tailscale: added before not there after 1.94.1" in first
    assert "file usr/local/bin" not in first


def test_sizes_are_bars_and_everything_else_follows(page: str) -> None:
    words = checked(page).words
    assert "extension tailscale before not there after" in words.partition("Sizes")[2]
    assert page.count('class="after"') == page.count('class="bar"') > 5
    assert "Everything that changes" in words
    assert 'data-kind="added"' in page


def test_a_kernel_that_came_as_a_file_is_no_other_kernel() -> None:
    came = Change(place="boot/vmlinuz", kind="added", what="kernel", after="36.0 MiB")
    other = Change(place="uki", kind="changed", what="kernel", before="6.12.62-talos", after="6.18.38-talos")
    spin, zfs = (Change(place="boot", kind="added", what=f"extension {name}", after="v1") for name in ("spin", "zfs"))
    page = difference_page(Difference(before="a", after="b", changes=(came, other, spin, zfs)), {}, {})
    first = checked(page).words.partition("Sizes")[0]
    assert first.count("Kernel modules of other builds") == 1
    assert "36.0 MiB" not in first
    # What it means is said once for all extensions.
    assert first.count("What runs on every node changes.") == 1
    assert "extension spin: added before not there after v1 in boot extension zfs: added" in first


def test_what_has_the_size_that_it_had_is_folded_away() -> None:
    sizes = ({"boot/vmlinuz": 5, "boot/initramfs.xz": 7}, {"boot/vmlinuz": 5, "boot/initramfs.xz": 9})
    words = checked(difference_page(Difference(before="a", after="b", changes=()), *sizes)).words
    changed, folded = words.split("1 part has the size that it had")
    assert "boot/initramfs.xz before 7 B after 9 B (+2 B)" in changed
    assert "boot/vmlinuz before 5 B after 5 B" in folded


def test_stand_ins_are_named_above_everything_else(tmp_path: Path) -> None:
    build(tmp_path / "a", good())
    build(tmp_path / "b", good())
    (tmp_path / "b/STAND-IN.txt").write_text("They are not Talos.\n")
    old, new = (inspect_path(tmp_path / name, name=name) for name in ("a", "b"))
    assert (
        checked(diff_page(old, new, diff(old, new))).words.partition("STAND-IN made from")[0].strip() == "From a to b"
    )
    assert "STAND-IN made" not in checked(diff_page(old, old, diff(old, old))).words


def test_equal_assets_have_no_difference(tmp_path: Path) -> None:
    build(tmp_path / "a", good())
    side = inspect_path(tmp_path / "a", name="a")
    assert "No difference." in checked(diff_page(side, side, diff(side, side))).words


def test_what_could_not_be_read_is_not_called_equal(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.iso").write_bytes(b"\0" * 32769 + b"CD001" + text.encode())
    old, new = (inspect_path(tmp_path / name, name=name) for name in ("a", "b"))
    assert "Not read: " in checked(diff_page(old, new, diff(old, new))).words


def test_hostile_text_stays_text_and_a_flood_of_changes_stays_small() -> None:
    changes = [Change(place=HOSTILE, kind="changed", what=f"extension {HOSTILE}", before=HOSTILE, after=HOSTILE * 100)]
    changes += [
        Change(place=f"place {n % 2000}", kind="added", what=f"file usr/lib/{n}", after="1 B") for n in range(20_000)
    ]
    text = difference_page(Difference(before=HOSTILE, after="b", changes=tuple(changes)), {HOSTILE: 1}, {"b": 2})
    page = checked(text)
    assert "<script>alert(1)</script>" in page.text
    assert "more parts changed" in page.words
    assert len(text.encode()) < 1_000_000


def test_command_line_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    files = [str(tmp_path / name) for name in ("a", "b")]
    assert main(["diff", *files, "--names", "old", "new", "--format", "html", "--fail-on-change"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("<!DOCTYPE html>\n")
    assert "From old to new" in checked(out).words
    with pytest.raises(SystemExit):
        main(["show", files[0], "--format", "html"])
