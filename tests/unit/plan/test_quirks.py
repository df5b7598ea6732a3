"""What differs between Talos versions is said in one room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci.common.errors import OutputError
from ci.plan.quirks import NEWEST_PROVEN, minor_version, one_run_reason, quirks

TOP = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("talos", "privileged", "loses_overlay", "unproven"),
    [
        ("v1.11.3", True, False, False),
        ("v1.12.6", True, False, False),
        ("v1.13.0-beta.1", False, True, False),
        ("v1.13.6", False, True, False),
        ("v1.14.0-rc.1", False, True, False),
        ("v1.15.0", False, True, True),
        ("v2.0.0", False, True, True),
    ],
)
def test_disk_images_by_version(talos: str, privileged: bool, loses_overlay: bool, unproven: bool) -> None:
    found = quirks(talos)
    assert found.disk_image_needs_privileges is privileged
    assert found.signed_disk_image_loses_overlay is loses_overlay
    assert found.is_unproven is unproven


@pytest.mark.parametrize(
    ("talos", "assembled"),
    [
        ("v1.10.7", False),
        ("v1.11.3", True),
        ("v1.12.6", True),
        ("v1.13.6", True),
        ("v1.14.0-alpha.2", False),
        ("v2.0.0", False),
    ],
)
def test_an_initramfs_is_assembled_for_versions_of_which_it_was_proven(talos: str, assembled: bool) -> None:
    assert quirks(talos).initramfs_can_be_assembled is assembled


def test_why_one_run_makes_the_initramfs_names_the_versions() -> None:
    said = one_run_reason("v1.14.0")
    assert said.startswith("Talos v1.14.0: one imager run packs all extensions")
    assert "v1.11 to v1.13" in said


def test_without_a_version_the_newest_proven_one_counts() -> None:
    assert quirks(None).talos == NEWEST_PROVEN


@pytest.mark.parametrize("text", ["1.13.6", "v1", "vbogus", "", "v1.x.2"])
def test_what_is_not_a_version_is_refused(text: str) -> None:
    with pytest.raises(OutputError, match="bad Talos version"):
        minor_version(text)


def test_no_other_room_compares_talos_versions() -> None:
    """A pair or triple of numbers that is compared with something stands in the table alone."""
    compared = re.compile(r"(?:[<>]=?|==|!=)\s*\(1, ?\d+(?:, ?\d+)?\)|\(1, ?\d+(?:, ?\d+)?\)\s*(?:[<>]=?|==|!=)")
    found = [
        f"{path.relative_to(TOP)}:{number}"
        for path in sorted((TOP / "ci").rglob("*.py"))
        if path.name != "quirks.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if compared.search(line)
    ]
    assert found == []
