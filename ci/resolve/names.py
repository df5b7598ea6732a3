"""What Sidero Labs calls its extensions: names that changed from one release of the catalog to another.

Sources: github.com/siderolabs/image-factory (`ExtensionNameAlias` in internal/profile), and the lists of targets of
github.com/siderolabs/extensions at v1.3.0 to v1.13.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.common.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

#: Names of one extension, the oldest first. Some became two, of two series of a driver; others are called differently
#: in their own manifest, or in the folder of their sources.
RENAMED: Final[tuple[tuple[str, ...], ...]] = (
    ("amdgpu-firmware", "amdgpu"),
    ("i915-ucode", "i915"),
    ("xe-guest-utilities", "xen-guest-agent"),
    ("talos-vmtoolsd", "vmtoolsd-guest-agent"),
    ("gasket", "gasket-driver"),
    ("usb-modem", "usb-modem-drivers"),
    ("v4l-uvc", "v4l-uvc-drivers"),
    ("cx23885", "dvb-cx23885"),
    ("util-linux", "util-linux-tools"),
    ("chelsio", "chelsio-drivers", "chelsio-firmware"),
    ("nvidia-container-toolkit", "nvidia-container-toolkit-lts", "nvidia-container-toolkit-production"),
    (
        *("nvidia-fabricmanager", "nvidia-fabric-manager", "nvidia-fabric-manager-lts"),
        *("nvidia-fabricmanager-lts", "nvidia-fabricmanager-production"),
    ),
    (
        *("nvidia-open-gpu-kernel-modules", "nvidia-modules"),
        *("nvidia-open-gpu-kernel-modules-lts", "nvidia-open-gpu-kernel-modules-production"),
    ),
    (
        *("nonfree-kmod-nvidia", "kmod-nvidia"),
        *("nonfree-kmod-nvidia-lts", "nonfree-kmod-nvidia-production"),
    ),
)


def instead_of(name: str, known: Collection[str]) -> str:
    """Return what to write instead of an extension's name that is not known: its other name, else the nearest."""
    others = [other for names in RENAMED if name in names for other in names if other in known]
    if others:
        return f"it is called {' or '.join(others)} there: write {others[0]}"
    return suggest(name, sorted(known))
