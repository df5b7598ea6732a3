"""What a name that does not exist was meant to be."""

from __future__ import annotations

import pytest

from ci.common.errors import nearest
from ci.resolve.names import RENAMED, instead_of

#: Names of Talos v1.13's catalog.
CATALOG = (
    *("amdgpu", "amd-ucode", "btrfs", "drbd", "dvb-cx23885", "gasket-driver", "i915", "intel-ice-firmware"),
    *("intel-ucode", "iscsi-tools", "mdadm", "metal-agent", "nvidia-container-toolkit-lts"),
    *("nvidia-container-toolkit-production", "nvidia-fabricmanager-lts", "nvidia-open-gpu-kernel-modules-lts"),
    *("nonfree-kmod-nvidia-lts", "nfs-utils", "qemu-guest-agent", "spin", "tailscale", "usb-modem-drivers"),
    *("util-linux-tools", "v4l-uvc-drivers", "vmtoolsd-guest-agent", "wasmedge", "xen-guest-agent", "zfs"),
)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("spinn", "spin"),
        ("drdb", "drbd"),
        # By letters alone: metal-agent, amd-ucode, zfs, usb-… of another word.
        ("qemu-agent", "qemu-guest-agent"),
        ("amd-gpu", "amdgpu"),
        ("AMDGPU", "amdgpu"),
        ("intel-ice", "intel-ice-firmware"),
        ("intel-ice-drivers", "intel-ice-firmware"),
        ("nvidia-toolkit", "nvidia-container-toolkit-lts"),
        ("iscsi", "iscsi-tools"),
        ("xen", "xen-guest-agent"),
        ("zfs-utils", "zfs"),
        ("nfs", "nfs-utils"),
        ("tailscael", "tailscale"),
        ("cloudflared", None),
        ("", None),
    ],
)
def test_a_common_beginning_counts_for_more_than_few_differing_letters(given: str, meant: str | None) -> None:
    assert nearest(given, CATALOG) == meant


def test_nothing_is_near_where_there_is_nothing() -> None:
    assert nearest("spin", []) is None


@pytest.mark.parametrize(
    ("old", "told"),
    [
        ("amdgpu-firmware", "it is called amdgpu there: write amdgpu"),
        ("i915-ucode", "it is called i915 there: write i915"),
        ("xe-guest-utilities", "it is called xen-guest-agent there: write xen-guest-agent"),
        ("talos-vmtoolsd", "it is called vmtoolsd-guest-agent there: write vmtoolsd-guest-agent"),
        ("gasket", "it is called gasket-driver there: write gasket-driver"),
        ("usb-modem", "it is called usb-modem-drivers there: write usb-modem-drivers"),
        ("v4l-uvc", "it is called v4l-uvc-drivers there: write v4l-uvc-drivers"),
        (
            "nvidia-container-toolkit",
            (
                "it is called nvidia-container-toolkit-lts or nvidia-container-toolkit-production there: write "
                "nvidia-container-toolkit-lts"
            ),
        ),
        ("nvidia-fabric-manager-lts", "it is called nvidia-fabricmanager-lts there: write nvidia-fabricmanager-lts"),
        ("nonfree-kmod-nvidia", "it is called nonfree-kmod-nvidia-lts there: write nonfree-kmod-nvidia-lts"),
        ("spinn", "did you mean spin?"),
    ],
)
def test_an_extension_that_was_renamed_is_known(old: str, told: str) -> None:
    assert instead_of(old, CATALOG) == told


def test_an_extension_is_known_by_its_later_name_too() -> None:
    """For a catalog from before the change."""
    assert (
        instead_of("amdgpu", ["amdgpu-firmware", "spin"]) == "it is called amdgpu-firmware there: write amdgpu-firmware"
    )


def test_no_name_is_of_two_extensions() -> None:
    names = [name for group in RENAMED for name in group]
    assert len(names) == len(set(names))
