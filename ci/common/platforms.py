"""The platforms that Talos runs on, a row each: what can be built for them, how they boot, what their kernel is given.

Facts of github.com/siderolabs/talos at v1.13.6: `pkg/machinery/platforms` (architectures, boot methods, forms of disk
images, secure boot), `pkg/imager/profile/default.go` (sizes) and `KernelArgs` of each platform below
`internal/app/machined/pkg/runtime/v1alpha1/platform`; what differs at v1.10 to v1.14 is in the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch

if TYPE_CHECKING:
    from collections.abc import Mapping


class BootMethod(StrEnum):
    """How machines of a platform get at Talos."""

    DISK = "a disk image"
    ISO = "an ISO"
    PXE = "the network"


#: Older than any version of interest here.
_ALWAYS: Final = (0, 0)
_BOTH: Final = (Arch.AMD64, Arch.ARM64)
_AMD64: Final = (Arch.AMD64,)
_GIB: Final = 1 << 30

_NO_NAMES: Final = "net.ifnames=0"
_NO_DASHBOARD: Final = "talos.dashboard.disabled=1"
_NO_KEXEC: Final = "sysctl.kernel.kexec_load_disabled=1"
_CLOUD: Final = ("console=tty1", "console=ttyS0", _NO_NAMES)


@dataclass(frozen=True)
class Platform:
    """One row: a platform, under the name that `talos.platform=` has."""

    name: str
    #: As its vendor writes it.
    title: str
    boots: tuple[BootMethod, ...]
    #: Form that the cloud's own import takes, for those with disk images.
    form: str | None = None
    #: What the kernel is given for it, on amd64.
    arguments: tuple[str, ...] = ()
    #: The same on arm64; `None`: as on amd64.
    arm64_arguments: tuple[str, ...] | None = None
    #: Those that Talos's table has.
    arches: tuple[Arch, ...] = _BOTH
    #: Why an architecture that Talos's table does not have is built all the same.
    also_arm64: str | None = None
    #: Major and minor of the Talos version that first has it; `None`: all that are of interest here.
    since: tuple[int, int] | None = None
    #: Likewise for arm64.
    arm64_since: tuple[int, int] | None = None
    #: Major and minor of the Talos version that first lists it for secure boot; `None`: none does.
    secure_boot_since: tuple[int, int] | None = None
    #: What the kernel is given besides, from a Talos version on.
    newer_arguments: tuple[tuple[tuple[int, int], str], ...] = ()
    #: Bytes of the disk; `None`: what CozyStack's profile says, which is Talos's smallest.
    disk_size: int | None = None
    #: Bytes of which the disk's size has to be a multiple.
    unit: int = 1 << 20

    @property
    def main_form(self) -> str:
        """What is built for it where no form is asked for."""
        return self.form or ("iso" if BootMethod.ISO in self.boots else "ipxe")

    def kernel_arguments(self, arch: Arch, talos: tuple[int, int] = (0, 0)) -> tuple[str, ...]:
        """Return what the imager of a Talos version gives the kernel of this platform, besides `talos.platform=`."""
        own = self.arm64_arguments if arch is Arch.ARM64 and self.arm64_arguments is not None else self.arguments
        return (*own, *(argument for since, argument in self.newer_arguments if talos >= since))


#: What people call platforms, in lower case → what Talos calls them.
CALLED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("baremetal", "bare-metal"), "metal"),
    **dict.fromkeys(("proxmox", "libvirt", "kvm"), "nocloud"),
    **dict.fromkeys(("amazon", "ec2"), "aws"),
    **dict.fromkeys(("google", "gce"), "gcp"),
    **dict.fromkeys(("packet", "equinix"), "equinixMetal"),
    **dict.fromkeys(("vsphere", "esxi"), "vmware"),
    **dict.fromkeys(("aliyun", "alibaba", "alicloud"), "alibabacloud"),
    "hetzner": "hcloud",
    "linode": "akamai",
    "oci": "oracle",
}

_DISK, _ISO, _PXE = BootMethod.DISK, BootMethod.ISO, BootMethod.PXE

#: In the order in which they are listed.
PLATFORMS: Final[Mapping[str, Platform]] = {
    platform.name: platform
    for platform in (
        Platform(
            "metal",
            "bare metal",
            (_DISK, _ISO, _PXE),
            form="raw.zst",
            arguments=("console=tty0",),
            arm64_arguments=("console=ttyAMA0", "console=tty0"),
            secure_boot_since=_ALWAYS,
        ),
        Platform(
            "nocloud", "NoCloud", (_DISK, _ISO, _PXE), form="raw.zst", arguments=_CLOUD, secure_boot_since=_ALWAYS
        ),
        Platform(
            "aws",
            "Amazon Web Services",
            (_DISK,),
            form="raw.xz",
            arguments=_CLOUD,
            # Before, the imager gives it on all platforms.
            newer_arguments=(((1, 14), "nvme_core.io_timeout=4294967295"),),
            disk_size=8 * _GIB,
        ),
        Platform(
            "gcp",
            "Google Cloud",
            (_DISK,),
            form="raw.tar.gz",
            arguments=("console=ttyS0", _NO_NAMES, _NO_DASHBOARD, _NO_KEXEC),
            disk_size=8 * _GIB,
            unit=_GIB,
        ),
        Platform(
            "equinixMetal",
            "Equinix Metal",
            (_PXE,),
            arguments=("console=ttyS1,115200n8",),
            arm64_arguments=("console=ttyAMA0,115200",),
        ),
        Platform(
            "azure",
            "Microsoft Azure",
            (_DISK,),
            form="vhd.xz",
            arguments=(
                *("console=ttyS0,115200n8", "earlyprintk=ttyS0,115200", "rootdelay=300"),
                *(_NO_NAMES, _NO_DASHBOARD, _NO_KEXEC),
            ),
            secure_boot_since=(1, 14),
            disk_size=8 * _GIB,
        ),
        Platform(
            "digital-ocean",
            "DigitalOcean",
            (_DISK,),
            form="raw.gz",
            arguments=("console=ttyS0", "console=tty0", "console=tty1", _NO_NAMES),
            arches=_AMD64,
            disk_size=8 * _GIB,
        ),
        Platform("openstack", "OpenStack", (_DISK, _ISO, _PXE), form="raw.xz", arguments=_CLOUD),
        Platform(
            "vmware",
            "VMware",
            (_DISK, _ISO),
            form="ova",
            arguments=(
                *("talos.config=guestinfo", "console=tty0", "console=ttyS0"),
                *("earlyprintk=ttyS0,115200", _NO_NAMES),
            ),
            arm64_arguments=("talos.config=guestinfo", "console=tty0", "console=ttyAMA0", _NO_NAMES),
            arm64_since=(1, 11),
            disk_size=8 * _GIB,
        ),
        Platform(
            "akamai",
            "Akamai (Linode)",
            (_DISK,),
            form="raw.gz",
            arguments=("console=ttyS0", "console=tty0", "console=tty1", _NO_NAMES),
            arches=_AMD64,
            since=(1, 7),
        ),
        Platform(
            "cloudstack",
            "Apache CloudStack",
            (_DISK,),
            form="raw.gz",
            arguments=_CLOUD,
            since=(1, 8),
            secure_boot_since=_ALWAYS,
            disk_size=8 * _GIB,
        ),
        Platform(
            "hcloud",
            "Hetzner Cloud",
            (_DISK,),
            form="raw.xz",
            arguments=_CLOUD,
            arches=_AMD64,
            also_arm64="Talos lists this platform for amd64 only, though Hetzner rents arm64 machines (CAX): Talos's "
            "code for it is the same on both",
        ),
        Platform(
            "oracle",
            "Oracle Cloud",
            (_DISK,),
            form="qcow2",
            arguments=(*_CLOUD, _NO_DASHBOARD),
            disk_size=8 * _GIB,
        ),
        Platform(
            "upcloud",
            "UpCloud",
            (_DISK,),
            form="raw.xz",
            arguments=(_NO_NAMES,),
            arches=_AMD64,
            disk_size=8 * _GIB,
        ),
        Platform("vultr", "Vultr", (_ISO, _PXE), arguments=(_NO_NAMES,), arches=_AMD64),
        Platform(
            "exoscale",
            "Exoscale",
            (_DISK,),
            form="qcow2",
            arguments=_CLOUD,
            since=(1, 3),
            disk_size=10 * _GIB,
        ),
        Platform("opennebula", "OpenNebula", (_DISK, _ISO), form="raw.zst", arguments=_CLOUD, since=(1, 7)),
        Platform("scaleway", "Scaleway", (_DISK, _ISO), form="raw.zst", arguments=(*_CLOUD, _NO_DASHBOARD)),
        Platform("alibabacloud", "Alibaba Cloud", (_DISK,), form="qcow2", arguments=_CLOUD, since=(1, 14)),
    )
}
