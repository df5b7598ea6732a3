"""The oldest CozyStack that is supported, v0.38.2 with Talos v1.11.3, whose imager needs loop devices for disk images.

In an engine that gives such steps the privileges for it, and in one that refuses.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedded.engine.lab import CHECKOUTS
from embedded.tests.engine.calls import COLD_SECONDS, Calls

pytestmark = [pytest.mark.engine, pytest.mark.slow]

REASON = (
    "the imager of Talos v1.11.3 partitions a disk image through a loop device and mounts it; from v1.13 on it does "
    "without"
)
WAYS_OUT = "build for a CozyStack release with Talos v1.13 or newer, or leave metal.raw.zst out"


def call(calls: Calls, *words: str, **env: str) -> tuple[int, str, str]:
    """Call the module for the older checkout."""
    upstream = str(calls.cache / CHECKOUTS / "v1.11.3")
    process = calls.start("--lab", "-s", "call", "--upstream", upstream, *words, **env)
    out, err = process.communicate(timeout=COLD_SECONDS)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.fixture
def refusing(tmp_path: Path) -> dict[str, str]:
    """The environment for an engine that refuses privileged steps."""
    settings = tmp_path / "buildkitd.toml"
    settings.write_text("insecure-entitlements = []\n")
    return {"COZYSTACK_TALOS_BUILDKITD_TOML": str(settings)}


def test_the_plan_says_which_steps_are_privileged_and_why(calls: Calls) -> None:
    outputs = "kernel,initramfs,cmdline,uki,installer,iso,metal,nocloud"
    code, out, err = call(calls, "plan", "--variant", "spin-only", "--outputs", outputs, "--format", "json")
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
    code, out, err = call(calls, *words, "metal", "entries", **refusing)
    assert (code, out) == (1, "")
    assert err[err.index("Error: ") :].strip() == (
        "Error: FunctionError: metal.raw.zst: the engine refuses privileged steps, and this output needs one, because "
        f"{REASON}. Allow them in the engine's configuration (Dagger: security.insecureRootCapabilities in "
        f"engine.json; BuildKit: insecure-entitlements in buildkitd.toml), {WAYS_OUT}"
    )
    code, _, err = call(calls, *words, "iso", "export", "--path", str(tmp_path), **refusing)
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
    code, _, err = call(calls, *small, *words)
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
