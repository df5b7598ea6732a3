"""Whether the kernel can run a machine itself: for guests of the host's architecture, and only where /dev/kvm is."""

from __future__ import annotations

import fcntl
import os
import platform
import stat
from contextlib import suppress
from pathlib import Path

from ci.common.arch import Arch

DEVICE = Path("/dev/kvm")
_MAJOR_MINOR = os.makedev(10, 232)
_GET_API_VERSION = 0xAE00
#: The only version there has been since 2007.
_API_VERSION = 12
_HOSTS = {"x86_64": Arch.AMD64, "aarch64": Arch.ARM64}


def usable(arch: Arch, device: Path = DEVICE, *, make: bool) -> bool:
    """Return whether guests of an architecture can run here without emulation; tries the device, not its name.

    With `make` the device is made where it is not there, which a privileged container may do.
    """
    if _HOSTS.get(platform.machine()) is not arch:
        return False
    if make and not device.exists():
        with suppress(OSError):
            os.mknod(device, stat.S_IFCHR | 0o600, _MAJOR_MINOR)
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(descriptor, _GET_API_VERSION) == _API_VERSION
    except OSError:
        return False
    finally:
        os.close(descriptor)
