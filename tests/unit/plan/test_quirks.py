"""What differs between Talos versions is said in one room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci.common.errors import OutputError
from ci.plan.quirks import NEWEST_PROVEN, minor_version, quirks

TOP = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("talos", "privileged", "loses_overlay", "unproven"),
    [
        ("v1.11.3", True, False, False),
        ("v1.12.6", True, False, False),
        ("v1.13.0-beta.1", False, True, False),
        ("v1.13.6", False, True, False),
        ("v1.14.0-rc.1", False, True, True),
        ("v2.0.0", False, True, True),
    ],
)
def test_disk_images_by_version(talos: str, privileged: bool, loses_overlay: bool, unproven: bool) -> None:
    found = quirks(talos)
    assert found.disk_image_needs_privileges is privileged
    assert found.signed_disk_image_loses_overlay is loses_overlay
    assert found.is_unproven is unproven


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
