"""What differs between the imager's versions, and what a Talos version switches on: the facts in one place.

Observed on the real imagers v1.11.3 and v1.13.6, and read in Talos's source for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import ImagerError
from .versions import Version, parse_tolerant

INSTALL = Path("/usr/install")
VERSION_FILE = INSTALL / "VERSION"


class Quirks:
    """What a Talos version switches on in an imager; one that cannot be read counts as the imager's own.

    `newest` is the imager's own version: it knows nothing of what came later.
    """

    def __init__(self, version: str, newest: Version) -> None:
        self.version: Version | None = parse_tolerant(version)
        self._counts_as = min(self.version or newest, newest)

    def since(self, major: int, minor: int, patch: int = 0) -> bool:
        """Tells whether the version is MAJOR.MINOR.PATCH or newer, pre-releases counted as the release."""
        return self._counts_as >= (major, minor, patch)

    @property
    def boots_by_sd_boot(self) -> bool:
        """Tells whether UEFI machines boot by systemd-boot alone. Not so for a version that cannot be read."""
        return self.version is not None and self.since(1, 10)

    @property
    def iso_has_bootloader(self) -> bool:
        """Tells whether an ISO's boot loader can be chosen."""
        return self.since(1, 12)

    @property
    def boot_mib(self) -> int:
        """The size of GRUB's boot partition in MiB."""
        return 2000 if self.since(1, 11) else 1000

    @property
    def xfs_kernel(self) -> str:
        """The oldest kernel that has to read the boot partition's XFS."""
        newest = (((1, 13), "6.18"), ((1, 10), "6.12"), ((1, 8), "6.6"))
        return next((kernel for since, kernel in newest if self.since(*since)), "6.1")

    @property
    def modules_path(self) -> str:
        """The kernel modules' folder in a root filesystem."""
        return "usr/lib/modules" if self.since(1, 10) else "lib/modules"

    @property
    def firmware_path(self) -> str:
        """The firmware's folder in a root filesystem."""
        return "usr/lib/firmware" if self.since(1, 10) else "lib/firmware"


KERNELS = {
    "v1.11.3": "6.12.52-talos",
    "v1.11.6": "6.12.62-talos",
    "v1.12.1": "6.18.2-talos",
    "v1.12.6": "6.18.18-talos",
    "v1.12.7": "6.18.24-talos",
    "v1.13.0": "6.18.24-talos",
    "v1.13.5": "6.18.36-talos",
    "v1.13.6": "6.18.38-talos",
    "v1.14.0-rc.1": "6.18.44-talos",
}
"""The imager's versions, each with the kernel that it names when the profile asks for its own Talos version."""


@dataclass(frozen=True)
class Contract:
    """One version of the imager; what it does follows from its minor version."""

    tag: str
    """Its Talos version: the profile's default `version`."""

    @property
    def version(self) -> Version:
        """The imager's own version."""
        return parse_tolerant(self.tag) or (0, 0, 0)

    def _since(self, major: int, minor: int) -> bool:
        return self.version >= (major, minor, 0)

    @property
    def kernel_version(self) -> str:
        """What `.uname` says when the profile asks for the imager's own Talos version, whatever the kernel file is."""
        return KERNELS[self.tag]

    @property
    def embeds(self) -> bool:
        """Tells whether it knows the profile field `customization.embeddedMachineConfiguration`."""
        return self._since(1, 12)

    @property
    def names(self) -> bool:
        """Tells whether it knows the profile field `name`."""
        return self._since(1, 13)

    @property
    def installer_rootfs_type(self) -> str:
        """`rootfs.type` in the installer's image config."""
        return "layers" if self._since(1, 13) else ""

    @property
    def explicit_xattrs(self) -> bool:
        """Tells whether it tells mksquashfs which SELinux labels to write and to take no others."""
        return self._since(1, 13)

    @property
    def chooses_iso_bootloader(self) -> bool:
        """Tells whether it takes `isoOptions.bootloader`, and puts GRUB on arm64's ISO only when asked to."""
        return self._since(1, 12)

    @property
    def disks_need_loop(self) -> bool:
        """Tells whether it makes disk images through a loop device and mounts, so with privileges only."""
        return not self._since(1, 13)

    @property
    def chooses_sector_size(self) -> bool:
        """Tells whether it takes `imageOptions.diskSectorSize`."""
        return self._since(1, 14)

    @property
    def disks_enroll_keys(self) -> bool:
        """Tells whether it takes `imageOptions.sdBootEnrollKeys`, and signed disk images have keys to enroll."""
        return self._since(1, 14)

    @property
    def iso_has_random_seed(self) -> bool:
        """Tells whether systemd-boot's ISO images have a seed, so that systemd-boot 261 does not make one there."""
        return self._since(1, 14)

    @property
    def has_exit_codes(self) -> bool:
        """Tells whether it ends with a code for each kind of error, whose text stands alone."""
        return self._since(1, 14)

    def quirks(self, version: str) -> Quirks:
        """Returns what a Talos version switches on in this imager."""
        return Quirks(version, self.version)


CONTRACTS = {tag: Contract(tag) for tag in KERNELS}


def installed_contract(file: Path = VERSION_FILE) -> Contract:
    """Returns the contract that the image was built for, as named by `/usr/install/VERSION`.

    Raises ImagerError when the file is missing or names a version without a contract.
    """
    try:
        tag = file.read_text().strip()
    except OSError as error:
        raise ImagerError(f"the lab's imager reads its Talos version from {file}: {error.strerror}") from None
    if tag not in CONTRACTS:
        known = " or ".join(CONTRACTS)
        raise ImagerError(f"the lab's imager has no contract for {tag!r} of {file}: put {known} there")
    return CONTRACTS[tag]
