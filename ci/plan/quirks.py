"""What differs between Talos versions: one table, asked by every room. Nobody else compares Talos versions.

Sources: github.com/siderolabs/talos at the tags named, and what the imagers of v1.11.3, v1.12.6, v1.13.6 and
v1.14.0-rc.1 did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.errors import OutputError

if TYPE_CHECKING:
    from ci.common.arch import Arch

#: Major and minor.
Minor = tuple[int, int]

#: The newest version whose imager was held against this project.
NEWEST_PROVEN: Final[Minor] = (1, 14)

#: The oldest and the newest version of which an initramfs that was put together from several imager runs was held
#: against that of a single run, byte for byte.
OLDEST_ASSEMBLED: Final[Minor] = (1, 11)
NEWEST_ASSEMBLED: Final[Minor] = (1, 13)

#: The newest version whose machine configuration was held against this project (its own patcher and validation).
NEWEST_CONFIGURATION: Final[Minor] = (1, 14)

#: Kinds of machine configuration documents that this project writes or reads, by the first version that knows them. A
#: node of an older version refuses a configuration with such a document.
_DOCUMENTS: Final[dict[str, Minor]] = {
    "ExtensionServiceConfig": (1, 7),
    "KernelModuleConfig": (1, 14),
    "KubeInlineManifestConfig": (1, 14),
    "KubeNodeConfig": (1, 14),
    "SysctlConfig": (1, 14),
    "UnattendedInstallConfig": (1, 14),
}

_VERSION = re.compile(r"v(\d+)\.(\d+)\.")

#: Beginnings of the paths that an extension may carry (pkg/machinery/extensions, `AllowedPaths`), by the first version
#: that allows them.
_EXTENSION_PATHS: Final[tuple[tuple[Minor, tuple[str, ...]], ...]] = (
    (
        (1, 10),
        (
            "etc/cri/conf.d",
            "etc/vulkan",
            "usr/bin/ldconfig",
            "usr/lib/firmware",
            "usr/lib/ld-linux-x86-64.so.2",
            "usr/lib/modules",
            "usr/lib/udev/rules.d",
            "usr/local",
            "usr/share/egl",
            "usr/share/glvnd",
        ),
    ),
    ((1, 12), ("usr/lib/ld-linux-aarch64.so.1",)),
    (
        (1, 13),
        (
            "etc/ld.so.cache",
            "etc/ld.so.conf",
            "usr/bin/nvidia-cdi-hook",
            "usr/bin/nvidia-ctk",
            "usr/bin/nvidia-modprobe",
            "usr/bin/nvidia-pcc",
            "usr/bin/nvidia-smi",
            "usr/bin/nvme",
        ),
    ),
)


@dataclass(frozen=True)
class Quirks:
    """How one Talos version behaves."""

    talos: Minor

    @property
    def is_unproven(self) -> bool:
        """Whether it is newer than any version that this release was tried with."""
        return self.talos > NEWEST_PROVEN

    @property
    def initramfs_can_be_assembled(self) -> bool:
        """Whether the imager's runs of single extensions add up to a run of all: tried for these versions only."""
        return OLDEST_ASSEMBLED <= self.talos <= NEWEST_ASSEMBLED

    @property
    def is_unknown_configuration(self) -> bool:
        """Whether its machine configuration is newer than any that this release was tried with."""
        return self.talos > NEWEST_CONFIGURATION

    @property
    def has_documents(self) -> bool:
        """Whether `talosctl gen config` writes documents where older versions wrote fields of `machine` and `cluster`.

        Next to UnattendedInstallConfig the field `machine.install` is refused, next to KubeNodeConfig the field
        `machine.kubelet.nodeIP` (`V1Alpha1ConflictValidate`). A configuration that an older talosctl made keeps its
        fields, and a node of this version takes it: so it depends on the configuration which form a patch must have.
        """
        return self.knows_document("UnattendedInstallConfig")

    def knows_document(self, kind: str) -> bool:
        """Say whether it knows a kind of machine configuration document; of kinds not listed here it is not known."""
        return self.talos >= _DOCUMENTS.get(kind, self.talos)

    @property
    def extension_paths(self) -> tuple[str, ...]:
        """Beginnings of the paths that an extension may carry."""
        return tuple(sorted(path for since, paths in _EXTENSION_PATHS if self.talos >= since for path in paths))

    @property
    def cri_plugin(self) -> str:
        """Name under which containerd reads its runtimes: containerd 2, since Talos v1.8, has another one."""
        return CRI_PLUGINS[1 if self.talos >= _CONTAINERD_2 else 0]

    @property
    def boot_partition(self) -> int:
        """Bytes of the partition BOOT, which has kernel and initramfs next to GRUB (`PartitionSizes`)."""
        return (2000 if self.talos >= _LARGE_BOOT else 1000) * _MIB

    @property
    def efi_partition(self) -> int:
        """Bytes of the EFI system partition next to systemd-boot: it takes the place of three (`UKIEFISize`)."""
        return 100 * _MIB + 1 * _MIB + self.boot_partition

    def disk_image_growth(self, *, dual_boot: bool) -> int:
        """Bytes that the imager adds to a disk image's size (`FillDefaults` of pkg/imager/profile, since v1.8).

        `dual_boot`: the image can have GRUB next to systemd-boot, as those for amd64 have that are neither signed nor
        for a board.
        """
        more = self.boot_partition - 1000 * _MIB
        return more + 1 * _MIB + self.boot_partition if dual_boot and self.talos >= _SYSTEMD_BOOT else more

    @property
    def disk_image_needs_privileges(self) -> bool:
        """Whether the imager partitions disk images through a loop device and mounts them: before v1.13."""
        return self.talos < UNPRIVILEGED_DISK_IMAGES

    @property
    def chooses_sector_size(self) -> bool:
        """Whether the imager makes disk images for 4k disks (`imageOptions.diskSectorSize`): from v1.14."""
        return self.talos >= SECTOR_SIZES

    @property
    def signed_disk_image_enrolls_keys(self) -> bool:
        """Whether a disk image that is signed for secure boot has the keys that a machine enrols: from v1.14.

        Before, only the ISO image has them (`loader/keys/auto`).
        """
        return self.talos >= _DISKS_ENROLL

    @property
    def signed_disk_image_loses_overlay(self) -> bool:
        """Whether the imager leaves a board's overlay out of a disk image that is signed for secure boot.

        A signed disk image has systemd-boot, whatever the profile asks for (`selectBootloader` in pkg/imager/profile).
        An imager that makes the image without a loop device runs the overlay with GRUB only (`GenerateAssets` of
        sdboot has no `ExtraInstallStep`); older ones install into a device, and run it there with either.
        """
        return not self.disk_image_needs_privileges


#: Names of the plugin that has containerd's runtimes: containerd 1's, containerd 2's.
CRI_PLUGINS: Final = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")

_MIB: Final = 1024 * 1024
_CONTAINERD_2: Final[Minor] = (1, 8)
_LARGE_BOOT: Final[Minor] = (1, 11)
#: First version that boots by systemd-boot where firmware is UEFI.
_SYSTEMD_BOOT: Final[Minor] = (1, 10)

#: First version whose imager makes disk images without privileges.
UNPRIVILEGED_DISK_IMAGES: Final[Minor] = (1, 13)

#: First version whose imager makes disk images for sectors of another size than 512 bytes.
SECTOR_SIZES: Final[Minor] = (1, 14)

#: First version whose imager puts keys to enrol into signed disk images.
_DISKS_ENROLL: Final[Minor] = (1, 14)

#: Boot loader of a disk image with an overlay: next to systemd-boot the imager does not run the overlay.
OVERLAY_BOOT_LOADER: Final = "grub"


#: Folder of an extension's kernel modules, below its root: an extension that has it carries some.
MODULES_FOLDER: Final = "usr/lib/modules"

#: Folder, below the root, in which imager and installer images hold what they install, by architecture.
INSTALL_FOLDER: Final = "usr/install/"


def install_folder(arch: Arch | str) -> str:
    """Return the folder with an architecture's boot files, with a slash at its end."""
    return f"{INSTALL_FOLDER}{arch}/"


#: What a plan takes to be as in the newest version that was tried, where the version is newer still.
_RELIED_ON: Final = (
    "the imager's profile and the names of its files",
    "which outputs need privileges",
    "the partitions of disk images and their sizes",
    "the paths that extensions may carry",
    "where containerd reads its runtimes",
    "the kernel arguments that the imager adds",
)


def unproven(talos_version: str) -> tuple[str, ...]:
    """Return, in words, that a version is newer than any that was tried, and what is relied on; else nothing."""
    if not quirks(talos_version).is_unproven:
        return ()
    newest = ".".join(map(str, NEWEST_PROVEN))
    return (
        f"Talos {talos_version} is newer than what this release of cozystack-talos was tried with: v{newest} at most",
        (
            f"relied on, as it is in v{newest}: {'; '.join(_RELIED_ON)}. The checks read what the imager made, and "
            "fail where it is not as planned; a newer release of cozystack-talos may know more"
        ),
    )


def is_installer(program: str) -> bool:
    """Return whether an image's entry point is Talos's installer, by name: the imager's is /bin/imager."""
    return program.rpartition("/")[2] == "installer"


def one_run_reason(talos_version: str) -> str:
    """Return why a single imager run makes the initramfs of a Talos version, where several could."""
    oldest, newest = (f"v{major}.{minor}" for major, minor in (OLDEST_ASSEMBLED, NEWEST_ASSEMBLED))
    return (
        f"Talos {talos_version}: one imager run packs all extensions, none of them is taken from another variant's "
        f"build. That runs of single extensions give the same bytes is proven for Talos {oldest} to {newest}; "
        "`reproduce --against imager` shows it for others"
    )


def minor_version(talos_version: str) -> Minor:
    """Return (1, 13) for v1.13.6 and for v1.13.0-beta.1; raises `OutputError` for what is not a Talos version."""
    match = _VERSION.match(talos_version)
    if not match:
        raise OutputError(f"bad Talos version {talos_version!r}: it looks like v1.13.6")
    return int(match[1]), int(match[2])


def quirks(talos_version: str | None) -> Quirks:
    """Return how a Talos version behaves; without a version, how the newest proven one does."""
    return Quirks(minor_version(talos_version) if talos_version else NEWEST_PROVEN)
