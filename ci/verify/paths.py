"""What an extension may carry: the rules of Talos's own validation, which its imager does not apply.

Source: github.com/siderolabs/talos, pkg/machinery/extensions (`AllowedPaths`, `validateContents`) at the tags named.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from ci.verify.compatibility import quirks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.inspect.models import Entry

#: What may be ELF of any machine: firmware, which runs on the processors of devices (a board's comes in its overlay),
#: and the modules of GRUB, which run before the system does (an amd64 installer brings those for i386 BIOSes).
ANY_MACHINE = (
    "usr/lib/firmware/",
    "lib/firmware/",
    "overlay/artifacts/",
    "usr/lib/grub/",
    "usr/share/grub/",
    "boot/grub/",
)

#: Programs for the kernel's own virtual machine, the same on every machine.
PORTABLE_MACHINES = ("0x00f7",)


def path_problems(entries: Iterable[Entry], talos: str | None) -> Iterator[str]:
    """Yield what an extension's root file system holds that Talos does not allow there."""
    allowed = quirks_of(talos).extension_paths
    for entry in entries:
        if entry.type not in ("file", "directory", "symlink", "hardlink"):
            yield f"/{entry.path} is a {entry.type}: only files, directories and links are allowed"
        elif entry.type != "directory" and not entry.path.startswith(allowed):
            yield f"/{entry.path} is outside of the allowed paths ({', '.join('/' + path for path in allowed)})"
        elif entry.type == "symlink" and _leaves(entry.path, entry.target or ""):
            yield f"/{entry.path} points to {entry.target!r}, above the root"


def mode_problems(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield what is writable by everyone: files, and folders without the sticky bit that a `tmp` has.

    Talos means to refuse these too, but looks at a value that has no permission bits. A link has no mode of its own.
    """
    for entry in entries:
        if entry.mode & 0o002 and (entry.type == "file" or (entry.type == "directory" and not entry.mode & 0o1000)):
            yield f"/{entry.path} has the mode {entry.mode:04o}: writable by everyone"


def foreign_programs(entries: Iterable[Entry], arch: str) -> Iterator[str]:
    """Yield the ELF files that are not the machine's, firmware and GRUB's modules apart."""
    for entry in entries:
        if (
            entry.machine is not None
            and entry.machine not in (arch, *PORTABLE_MACHINES)
            and not entry.path.startswith(ANY_MACHINE)
        ):
            yield f"/{entry.path} is an ELF file for {entry.machine}, {arch} is wanted"


def _leaves(path: str, target: str) -> bool:
    if target.startswith("/"):
        return False
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).startswith("..")
