"""Talos versions that no other test builds for: one of each minor version from CozyStack's oldest to the next one.

With COZYSTACK_TALOS_ALL_VERSIONS set, all of the lab's. The imager of the oldest, v1.11.3 of CozyStack v0.38.2, needs
loop devices for disk images: in an engine that gives such steps the privileges for it, and in one that refuses.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from embedded.engine.lab import CHECKOUTS
from embedded.lab.contents.releases import RELEASES
from embedded.tests.engine.calls import COLD_SECONDS, Calls

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ALL = "COZYSTACK_TALOS_ALL_VERSIONS"
OLDEST = "v1.11.3"
NEXT = "v1.14.0-rc.1"
VERSIONS = [release.talos for release in RELEASES] if os.environ.get(ALL) else ["v1.12.6", NEXT]


def call(calls: Calls, talos: str, *words: str, **env: str) -> tuple[int, str, str]:
    """Call the module for the checkout of a version."""
    process = calls.start("--lab", "-s", "call", "--upstream", str(calls.cache / CHECKOUTS / talos), *words, **env)
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


# The oldest

REASON = (
    "the imager of Talos v1.11.3 partitions a disk image through a loop device and mounts it; from v1.13 on it does "
    "without"
)
WAYS_OUT = "build for a CozyStack release with Talos v1.13 or newer, or leave metal.raw.zst out"


@pytest.fixture
def refusing(tmp_path: Path) -> dict[str, str]:
    """The environment for an engine that refuses privileged steps."""
    settings = tmp_path / "buildkitd.toml"
    settings.write_text("insecure-entitlements = []\n")
    return {"COZYSTACK_TALOS_BUILDKITD_TOML": str(settings)}


def test_the_plan_says_which_steps_are_privileged_and_why(calls: Calls) -> None:
    outputs = "kernel,initramfs,cmdline,uki,installer,iso,metal,nocloud"
    code, out, err = call(calls, OLDEST, "plan", "--variant", "spin-only", "--outputs", outputs, "--format", "json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["talosVersion"] == "v1.11.3"
    reasons = {output["name"]: output["privileged"] for output in plan["outputs"] if output["privileged"]}
    assert reasons == {"metal.raw.zst": REASON, "nocloud.raw.zst": REASON}


def test_an_engine_without_privileged_steps_refuses_the_disk_image_alone(
    calls: Calls, small: tuple[str, ...], refusing: dict[str, str], tmp_path: Path
) -> None:
    """So that nothing else gets them."""
    words = (*small, "build", "--variant", "small", "--outputs")
    code, out, err = call(calls, OLDEST, *words, "metal", "entries", **refusing)
    assert (code, out) == (1, "")
    assert err[err.index("Error: ") :].strip() == (
        "Error: FunctionError: metal.raw.zst: the engine refuses privileged steps, and this output needs one, because "
        f"{REASON}. Allow them in the engine's configuration (Dagger: security.insecureRootCapabilities in "
        f"engine.json; BuildKit: insecure-entitlements in buildkitd.toml), {WAYS_OUT}"
    )
    code, _, err = call(calls, OLDEST, *words, "iso", "export", "--path", str(tmp_path), **refusing)
    assert code == 0, err
    assets = tmp_path / "assets/talos/arm64"
    with (assets / "iso/metal-arm64.iso").open("rb") as iso:
        iso.seek(16 * 2048)
        volume = iso.read(2048)
    assert (volume[1:6], volume[40:72].rstrip()) == (b"CD001", b"TALOS_V1_11_3")
    told = evidence(assets)
    assert "EFI/BOOT/BOOTAA64.EFI" in told["media.bootable"]
    assert "EFI/Linux/Talos-v1.11.3.efi" in told["media.bootable"]


def test_disk_images_are_made_where_there_are_loop_devices(
    calls: Calls, small: tuple[str, ...], tmp_path: Path
) -> None:
    """Two of them in one call, which take turns; none stays attached."""
    words = ("build", "--variant", "small", "--outputs", "metal,nocloud", "export", "--path", str(tmp_path))
    code, _, err = call(calls, OLDEST, *small, *words)
    if not Path("/dev/loop-control").exists():
        assert code == 1
        assert ".raw.zst: the imager failed, with exit code 1: " in err
        assert f"It ran privileged, because {REASON}. The engine's machine has no loop devices to give" in err
        assert "build for a CozyStack release with Talos v1.13 or newer, or leave" in err
        return
    assert code == 0, err
    assets = tmp_path / "assets/talos/arm64"
    for name in ("metal", "nocloud"):
        assert (assets / f"{name}/{name}-arm64.raw.zst").read_bytes()[:4] == bytes.fromhex("28b52ffd")
    attached = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [file for file in attached if file.startswith("/out/")]
    told = evidence(assets)
    assert "EFI/boot/BOOTAA64.efi" in told["media.bootable"]
    assert told["disk.partitions"].endswith("EFI, META")
    assert told["uki.version"].endswith(": v1.11.3")


def evidence(assets: Path) -> dict[str, str]:
    """Return what each check found in the assets, all of which have to have passed."""
    report: dict[str, Any] = json.loads((assets / "validation/build-report.json").read_text())
    assert {check["status"] for check in report["checks"]} <= {"pass", "skip"}
    return {check["id"]: " ".join(check["evidence"]) for check in report["checks"]}
