"""A plan and a build for Talos versions between the oldest and the newest of CozyStack's, and for the next one.

One of each minor version that no other test builds for; with COZYSTACK_TALOS_ALL_VERSIONS set, all of the lab's.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from embedded.engine.lab import CHECKOUTS
from embedded.lab.contents.releases import RELEASES
from embedded.tests.engine.calls import COLD_SECONDS, Calls

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ALL = "COZYSTACK_TALOS_ALL_VERSIONS"
NEXT = "v1.14.0-rc.1"
VERSIONS = [release.talos for release in RELEASES] if os.environ.get(ALL) else ["v1.12.6", NEXT]


def call(calls: Calls, talos: str, *words: str) -> tuple[int, str, str]:
    process = calls.start("--lab", "-s", "call", "--upstream", str(calls.cache / CHECKOUTS / talos), *words)
    out, err = process.communicate(timeout=COLD_SECONDS)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.parametrize("talos", VERSIONS)
def test_a_version_has_a_plan_and_a_build(calls: Calls, small: tuple[str, ...], talos: str, tmp_path: Path) -> None:
    outputs = ("--variant", "small", "--outputs", "initramfs,cmdline,metal")
    code, out, err = call(calls, talos, *small, "plan", *outputs, "--format", "json")
    assert code == 0, err
    plan: dict[str, Any] = json.loads(out)
    assert plan["talosVersion"] == talos
    assert "caveats" not in plan
    code, _, err = call(calls, talos, *small, "build", *outputs, "export", "--path", str(tmp_path))
    assert code == 0, err
    assets = tmp_path / "assets/talos/arm64"
    report: dict[str, Any] = json.loads((assets / "validation/build-report.json").read_text())
    assert {check["status"] for check in report["checks"]} <= {"pass", "skip"}
    assert report["talos"] == talos
    words = (assets / "cmdline/cmdline-metal-arm64").read_text().split()
    assert ("init_on_alloc=1" in words) is (talos != NEXT)
    told = {check["id"]: " ".join(check["evidence"]) for check in report["checks"]}
    assert f"EFI/Linux/Talos-{talos}.efi" in told["media.bootable"]


def test_a_disk_image_for_4k_disks_is_made_from_v1_14_on(calls: Calls, small: tuple[str, ...], tmp_path: Path) -> None:
    words = ("--disk-sector-size", "4096", *small, "metal", "--variant", "small", "--format", "raw", "export", "--path")
    image = tmp_path / "metal.raw"
    code, _, err = call(calls, NEXT, *words, str(image))
    assert code == 0, err
    with image.open("rb") as disk:
        disk.seek(4096)
        assert disk.read(8) == b"EFI PART"
    code, _, err = call(calls, "v1.13.6", *words, str(tmp_path / "older.raw"))
    assert code == 1
    assert "disk images with sectors of 4096 bytes need Talos v1.14 or newer, and this is v1.13.6" in err
