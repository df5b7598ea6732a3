"""The functions that look at assets, as a user calls them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from ci.plan.outputs import REPRODUCED_OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine.built import Built
    from tests.engine.conftest import Call

INITRAMFS = "boot/initramfs.xz"


def test_inspect_shows_a_folder_a_file_and_an_image(call: Call, booted: Built) -> None:
    done = call("inspect", "--assets", booted.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("assets: folder\n")
    assert "boot/vmlinuz: kernel, " in done.stdout
    done = call("inspect", "--file", booted.root / INITRAMFS, "--format", "json")
    found = json.loads(done.stdout)
    assert found["name"] == "initramfs.xz"
    assert "spin" in {layer["name"] for layer in found["facts"]["layers"]}
    done = call("inspect", "--image", booted.plan.installer_base.pinned, "--format", "yaml")
    facts = yaml.safe_load(done.stdout)["facts"]
    assert (facts["kind"], facts["architecture"], facts["entrypoint"]) == ("image", "arm64", ["/bin/installer"])


def test_inspect_refuses_what_is_given_twice_or_not_at_all(call: Call, booted: Built) -> None:
    done = call("inspect")
    assert done.returncode != 0
    assert "nothing to look at is given: give one of --assets, --image, --file" in done.stderr
    done = call("inspect", "--assets", booted.root, "--image", "ghcr.io/siderolabs/installer:v1.13.6")
    assert done.returncode != 0
    assert "--assets and --image are given together" in done.stderr


def test_verify_passes_what_was_built_and_refuses_a_worker_for_a_router(
    call: Call, spin_only: Built, booted: Built
) -> None:
    assert call("verify", "--assets", spin_only.root).returncode == 0
    done = call("verify", "--assets", booted.root, "--variant", "spin-only", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    done = call("verify", "--assets", booted.root, "--variant", "spin-tailscale")
    assert done.returncode != 0
    assert f"{INITRAMFS} lacks tailscale" in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_reads_a_cut_file_and_tells_all_that_fails(call: Call, booted: Built, tmp_path: Path) -> None:
    copy = booted.copy(tmp_path / "copy")
    copy.replace(INITRAMFS, lambda data: data[: len(data) // 2])
    done = call("verify", "--assets", copy.root)
    assert done.returncode != 0
    assert f"{INITRAMFS}: zstd frame at byte" in done.stderr
    assert "checksums.true" in done.stderr
    done = call("inspect", "--file", copy.root / INITRAMFS)
    assert done.returncode != 0
    assert "initramfs.xz: zstd frame at byte" in done.stderr
    assert "error: initramfs.xz" not in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_refuses_a_path_where_nothing_boots(call: Call, spin_only: Built, tmp_path: Path) -> None:
    done = call("verify", "--file", spin_only.root / "validation/build-report.txt")
    assert done.returncode != 0
    assert "build-report.txt: holds no boot assets" in done.stderr
    kernel = spin_only.copy(tmp_path / "copy", ("kernel",))
    done = call("verify", "--assets", kernel.root / "boot", "--variant", "spin-only")
    assert done.returncode != 0
    assert "- there is no initramfs" in done.stderr


def test_diff_tells_workers_from_routers(call: Call, booted: Built, spin_tailscale: Built) -> None:
    files = ("--before-file", booted.root / INITRAMFS, "--after-file", spin_tailscale.root / INITRAMFS)
    done = call("diff", *files)
    assert done.returncode == 0, done.stderr
    assert "\n+ extension tailscale: " in done.stdout
    done = call("diff", *files, "--fail-on-change")
    assert done.returncode != 0
    assert "+ extension tailscale: " in done.stderr
    assert call("diff", "--before", booted.root, "--after", booted.root, "--fail-on-change").returncode == 0


#: Of one platform, so that one run of the imager makes them all: what differs is made after it.
FORMS = tuple(f"openstack.{form}" for form in ("qcow2", "vhd", "ova", "raw.tar.gz"))


def test_both_variants_are_reproduced(call: Call, build: Callable[[str], Built]) -> None:
    for variant, forms in (("spin-only", FORMS), ("spin-tailscale", ())):
        outputs = ("--outputs", ",".join((*REPRODUCED_OUTPUTS, *forms))) if forms else ()
        done = call("reproduce", "--variant", variant, *outputs, "--format", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["equal"] is True
        digests = {file["path"]: file["sha256"] for file in found["files"] if file["path"] != "STAND-IN.txt"}
        disks = {path: digests.pop(path) for path in sorted(digests) if path.startswith("openstack/")}
        assert [path.removeprefix("openstack/openstack-arm64.") for path in disks] == sorted(
            form.removeprefix("openstack.") for form in forms
        )
        assert len(digests) == 5
        # And so are those that were built before, with everything from the cache.
        listed = (build(variant).root / "checksums.sha256").read_text()
        assert [path for path, digest in digests.items() if f"{digest}  {path}\n" not in listed] == []
