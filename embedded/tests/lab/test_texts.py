from __future__ import annotations

import json
import tomllib

import pytest
import yaml

from embedded.lab.contents import broken, catalog, services
from embedded.lab.contents.extensions import of_release, profile_extensions
from embedded.lab.contents.manifest import Manifest, runtime, spdx
from embedded.lab.contents.releases import NEW, OLD, Release


def test_manifest_has_the_form_of_talos_extensions() -> None:
    manifest = Manifest("drbd", "9.3.2-v1.13.6", "extra", "a module", ">= v1.2.0")
    assert yaml.safe_load(manifest.text()) == {
        "version": "v1alpha1",
        "metadata": {
            "name": "drbd",
            "version": "9.3.2-v1.13.6",
            "author": "cozystack-talos lab",
            "description": "[extra] STAND-IN: a module\n",
            "compatibility": {"talos": {"version": ">= v1.2.0"}},
        },
    }


def test_version_of_digits_stays_a_string() -> None:
    assert yaml.safe_load(Manifest("amd-ucode", "20260622", "core", "x").text())["metadata"]["version"] == "20260622"


def test_spdx_names_the_package() -> None:
    document = json.loads(spdx("spin", "v0.25.1", "Apache-2.0"))
    assert document["spdxVersion"] == "SPDX-2.3"
    assert [(one["name"], one["versionInfo"]) for one in document["packages"]] == [("spin", "v0.25.1")]


def test_runtime_is_what_containerd_merges() -> None:
    text = runtime("crun", "io.containerd.runc.v2", {"BinaryName": "/usr/local/bin/crun"})
    assert tomllib.loads(text)["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"] == {
        "crun": {"runtime_type": "io.containerd.runc.v2", "options": {"BinaryName": "/usr/local/bin/crun"}}
    }


def test_services_wait_for_what_the_real_ones_wait_for() -> None:
    tailscale, zfs = yaml.safe_load(services.TAILSCALE), yaml.safe_load(services.ZFS)
    assert tailscale["depends"] == [
        {"service": "cri"},
        {"network": ["addresses", "connectivity", "etcfiles"]},
        {"configuration": True},
    ]
    assert [mount["destination"] for mount in tailscale["container"]["mounts"]] == [
        *("/dev/net/tun", "/var/run/tailscale", "/var/lib/tailscale", "/etc/ssl/certs")
    ]
    assert zfs["depends"] == [{"service": "udevd"}, {"service": "cri"}, {"path": "/dev/zfs"}]
    assert zfs["container"]["mounts"][4] == {
        "source": "/dev",
        "destination": "/dev",
        "type": "bind",
        "options": ["rshared", "rbind", "rw"],
    }
    assert (tailscale["restart"], zfs["restart"]) == ("always", "untilSuccess")


@pytest.mark.parametrize(
    ("release", "tags"),
    [
        (
            NEW,
            (
                "amd-ucode:20260622 amdgpu:20260622-v1.13.6 bnx2-bnx2x:20260622\n"
                "intel-ice-firmware:20260622 i915:20260622-v1.13.6 intel-ucode:20260512\n"
                "qlogic-firmware:20260622 drbd:9.3.2-v1.13.6 zfs:2.4.3-v1.13.6"
            ),
        ),
        (
            OLD,
            (
                "amd-ucode:20250917 amdgpu:20250917-v1.11.3 bnx2-bnx2x:20250917\n"
                "intel-ice-firmware:20250917 i915:20250917-v1.11.3 intel-ucode:20250812\n"
                "qlogic-firmware:20250917 drbd:9.2.14-v1.11.3 zfs:2.3.3-v1.11.3"
            ),
        ),
    ],
)
def test_profiles_carry_upstreams_nine_extensions(release: Release, tags: str) -> None:
    references = [extension.reference for extension in profile_extensions(release)]
    assert references == [f"ghcr.io/siderolabs/{tag}" for tag in tags.split()]


def test_more_than_ten_extensions_can_be_put_on_arm64() -> None:
    x86_only = {"amd-ucode", "intel-ucode", "amdgpu", "i915"}
    assert len([one for one in of_release(NEW) if one.manifest.name not in x86_only]) > 11


def test_profile_is_upstreams_form() -> None:
    text = catalog.profile(NEW, "nocloud", ["ghcr.io/siderolabs/drbd:1@sha256:0"])
    assert yaml.safe_load(text) == {
        "arch": "amd64",
        "platform": "nocloud",
        "secureboot": False,
        "version": "v1.13.6",
        "input": {
            "kernel": {"path": "/usr/install/amd64/vmlinuz"},
            "initramfs": {"path": "/usr/install/amd64/initramfs.xz"},
            "baseInstaller": {"imageRef": "ghcr.io/siderolabs/installer:v1.13.6"},
            "systemExtensions": [{"imageRef": "ghcr.io/siderolabs/drbd:1@sha256:0"}],
        },
        "output": {"kind": "image", "imageOptions": {"diskSize": 1306525696, "diskFormat": "raw"}, "outFormat": ".xz"},
    }


def test_broken_service_waits_for_one_thing() -> None:
    service = yaml.safe_load(services.waiting("broken-x", "configuration: true"))
    assert (service["name"], service["depends"]) == ("broken-x", [{"configuration": True}])


def test_broken_extensions_have_telling_names() -> None:
    assert [recipe.name.removeprefix("ghcr.io/siderolabs/").removesuffix(":1.0.0") for recipe in broken.recipes()] == [
        "broken-foreign-elf",
        "broken-single-amd64",
        "broken-no-manifest",
        "broken-path-outside",
        "broken-world-writable",
        "broken-twice-a",
        "broken-twice-b",
        "broken-too-new",
        "broken-truncated-layer",
        "broken-foreign-module",
        "broken-waits-for-configuration",
        "broken-waits-for-file",
    ]
