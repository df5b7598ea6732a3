"""A board's disk image, which starts with GRUB, verified as what was planned and as what was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.verify.verify import verify
from tests.unit.inspect import xfs_samples
from tests.unit.verify.assets import expectation_of, good

if TYPE_CHECKING:
    from pathlib import Path

    from ci.verify.model import Check


def checks(root: Path, name: str, variant: str | None, **changed: object) -> dict[str, Check]:
    xfs_samples.disk(root / "metal-arm64.raw", name)
    anywhere = {"files": None, "stand_in": None, **changed}
    expected = expectation_of(good(variant)).model_copy(update=anywhere) if variant else None
    return {check.id: check for check in verify(root, expected).checks}


@pytest.mark.parametrize(("name", "variant"), [("boot-worker", "spin-only"), ("boot-router", "spin-tailscale")])
def test_a_boards_image_is_read_and_passes_as_its_own_variant(tmp_path: Path, name: str, variant: str) -> None:
    found = checks(tmp_path, name, variant)
    assert {name: check.evidence for name, check in found.items() if check.status == "fail"} == {}
    read = (
        "kernel.machine",
        "initramfs.base",
        "extensions.planned",
        "cmdline.arguments",
        "menu.version",
        "elf.machine",
    )
    assert {found[one].status for one in read} == {"pass"}
    if variant == "spin-only":
        assert found["extensions.absent"].status == "pass"


def test_a_routers_image_is_not_a_workers(tmp_path: Path) -> None:
    failed = {name for name, check in checks(tmp_path, "boot-router", "spin-only").items() if check.status == "fail"}
    assert failed == {"extensions.planned", "extensions.absent"}


def test_an_image_of_another_version_is_not_the_planned_one(tmp_path: Path) -> None:
    found = checks(tmp_path, "boot-worker", "spin-only", talos="v1.13.5")
    assert found["menu.version"].status == "fail"
    assert "is of another version, v1.13.5 is wanted" in found["menu.version"].evidence[0]


def test_an_image_without_a_planned_argument_is_told_from_the_menu(tmp_path: Path) -> None:
    found = checks(tmp_path, "boot-worker", "spin-only", kernel_args=("talos.x=1",))
    assert found["cmdline.arguments"].status == "fail"
    assert "lacks talos.x=1" in found["cmdline.arguments"].evidence[0]


def test_from_anywhere_a_boards_image_agrees_with_itself(tmp_path: Path) -> None:
    assert {name for name, check in checks(tmp_path, "boot-worker", None).items() if check.status == "fail"} == set()
