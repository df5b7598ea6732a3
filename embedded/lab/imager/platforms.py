"""The platforms that Talos knows: the kernel arguments and the built-in disk profile of each, as the real imager's.

Facts: Talos v1.13.6, `KernelArgs` of the platforms below `internal/app/machined/pkg/runtime/v1alpha1/platform`, and
`pkg/imager/profile/default.go`. They are the same at v1.11.3, but for the metal platform's consoles before v1.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import ImagerError
from .profile import DiskFormat, OutFormat

if TYPE_CHECKING:
    from .contract import Quirks

_NAMES: Final = "net.ifnames=0"
_CLOUD: Final = ("console=tty1", "console=ttyS0", _NAMES)
_SERIAL_FIRST: Final = ("console=ttyS0", "console=tty0", "console=tty1", _NAMES)
_NO_DASHBOARD: Final = "talos.dashboard.disabled=1"
_QUIET: Final = (_NAMES, _NO_DASHBOARD, "sysctl.kernel.kexec_load_disabled=1")
_GUEST_INFO: Final = "talos.config=guestinfo"

_MIN: Final = 1246 << 20
_DEFAULT: Final = 8192 << 20


@dataclass(frozen=True)
class DiskProfile:
    """What a platform's built-in profile makes of a disk."""

    size: int = _MIN
    packing: OutFormat = OutFormat.ZSTD
    form: DiskFormat = DiskFormat.RAW
    options: str = ""


@dataclass(frozen=True)
class Platform:
    """One platform: what the kernel is given for it, and its built-in profile, which `metal` has elsewhere."""

    amd64: tuple[str, ...] = ()
    arm64: tuple[str, ...] | None = None
    disk: DiskProfile | None = None
    since: tuple[int, int] = (0, 0)
    """The first Talos version that knows it."""
    name: str = ""
    """What `talos.platform` says, where that is another name."""

    def arguments(self, arch: str) -> tuple[str, ...]:
        """Returns the kernel arguments for an architecture."""
        return self.arm64 if arch == "arm64" and self.arm64 is not None else self.amd64


_EQUINIX: Final = Platform(("console=ttyS1,115200n8",), ("console=ttyAMA0,115200",), name="equinixMetal")

PLATFORMS: Final = {
    "metal": Platform(("console=tty0",), ("console=ttyAMA0", "console=tty0")),
    "container": Platform(),
    "equinixMetal": _EQUINIX,
    "packet": _EQUINIX,
    "akamai": Platform(_SERIAL_FIRST, disk=DiskProfile(packing=OutFormat.GZ)),
    "alibabacloud": Platform(
        _CLOUD,
        disk=DiskProfile(packing=OutFormat.RAW, form=DiskFormat.QCOW2, options="cluster_size=8k"),
        since=(1, 14),
    ),
    "aws": Platform(_CLOUD, disk=DiskProfile(_DEFAULT)),
    "azure": Platform(
        ("console=ttyS0,115200n8", "earlyprintk=ttyS0,115200", "rootdelay=300", *_QUIET),
        disk=DiskProfile(_DEFAULT, form=DiskFormat.VPC, options="subformat=fixed,force_size"),
    ),
    "cloudstack": Platform(_CLOUD, disk=DiskProfile(_DEFAULT)),
    "digital-ocean": Platform(_SERIAL_FIRST, disk=DiskProfile(_DEFAULT, OutFormat.GZ)),
    "exoscale": Platform(_CLOUD, disk=DiskProfile(10240 << 20, form=DiskFormat.QCOW2, options="cluster_size=8k")),
    "gcp": Platform(("console=ttyS0", *_QUIET), disk=DiskProfile(_DEFAULT, OutFormat.TAR)),
    "hcloud": Platform(_CLOUD, disk=DiskProfile()),
    "nocloud": Platform(_CLOUD, disk=DiskProfile()),
    "opennebula": Platform(_CLOUD, disk=DiskProfile()),
    "openstack": Platform(_CLOUD, disk=DiskProfile()),
    "oracle": Platform(
        (*_CLOUD, _NO_DASHBOARD), disk=DiskProfile(_DEFAULT, form=DiskFormat.QCOW2, options="cluster_size=8k")
    ),
    "scaleway": Platform((*_CLOUD, _NO_DASHBOARD), disk=DiskProfile()),
    "upcloud": Platform((_NAMES,), disk=DiskProfile(_DEFAULT)),
    "vmware": Platform(
        (_GUEST_INFO, "console=tty0", "console=ttyS0", "earlyprintk=ttyS0,115200", _NAMES),
        (_GUEST_INFO, "console=tty0", "console=ttyAMA0", _NAMES),
        disk=DiskProfile(_DEFAULT, OutFormat.RAW, DiskFormat.OVA),
    ),
    "vultr": Platform((_NAMES,), disk=DiskProfile(_DEFAULT)),
}


def find(name: str, quirks: Quirks) -> Platform:
    """Returns a platform by its name in a profile; raises ImagerError for one that this Talos does not know."""
    if name not in PLATFORMS or not quirks.since(*PLATFORMS[name].since):
        raise ImagerError(f'unknown platform: "{name}"')
    return PLATFORMS[name]
