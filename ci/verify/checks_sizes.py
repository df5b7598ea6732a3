"""Checks of what has to fit: command lines into the kernel's buffer, boot files into the partitions of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.inspect.models import CmdlineFacts, InitramfsFacts, MenuFacts, UkiFacts
from ci.verify.compatibility import quirks_of
from ci.verify.model import Verdict

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

#: Bytes that a kernel takes (COMMAND_LINE_SIZE of arm64 and amd64), a zero at the end included; the rest is lost.
_COMMAND_LINE: Final = 2048
#: What iPXE adds to a command line from a separate file, for firmware to find the initramfs.
_INITRD: Final = " initrd=initramfs.xz"
#: What GRUB puts before a command line.
_BOOT_IMAGE: Final = "BOOT_IMAGE={} "

_MIB: Final = 1024 * 1024
#: Bytes that file systems need for themselves: the log of XFS, and one in fifty for tables.
_XFS_LOG: Final = 64 * _MIB
_TABLES: Final = 50


def _added(assets: Assets) -> dict[str, str]:
    """Return what boot loaders add to the command lines, by the lines' places."""
    added = {found.path: _INITRD for found in assets.of(CmdlineFacts)}
    for menu in assets.of(MenuFacts):
        added |= {f"{menu.path} ({entry.title})": _BOOT_IMAGE.format(entry.kernel) for entry in menu.facts.entries}
    return added


def cmdline_length(assets: Assets, _: Expectation) -> Verdict:
    """`cmdline.length`."""
    verdict, added = Verdict(), _added(assets)
    for path, line in assets.cmdlines():
        more = len(added.get(path, "").encode())
        length = len(line.encode()) + more
        if length >= _COMMAND_LINE:
            verdict.problems.append(
                f"{path} has {length} bytes"
                + (f" with the {more} that the boot loader adds" if more else "")
                + f", the kernel takes {_COMMAND_LINE - 1} and passes over the rest"
            )
        verdict.evidence.append(f"{path}: {length} bytes")
    return verdict


def uki_size(assets: Assets, expectation: Expectation) -> Verdict:
    """`uki.size`."""
    room = quirks_of(expectation.talos).efi_partition
    usable = room - room // _TABLES
    verdict = Verdict()
    for uki in assets.distinct(UkiFacts):
        size = uki.node.size
        if 2 * size > usable:
            verdict.problems.append(
                f"{uki.path} has {_mib(size)} MiB: the EFI system partition of Talos {expectation.talos or ''} has "
                f"{_mib(room)} MiB, in which the next one has to fit beside it at an upgrade"
            )
        verdict.evidence.append(f"{uki.path}: {_mib(size)} of {_mib(usable // 2)} MiB")
    return verdict


def initramfs_size(assets: Assets, expectation: Expectation) -> Verdict:
    """`initramfs.size`."""
    room = quirks_of(expectation.talos).boot_partition
    usable = room - _XFS_LOG - room // _TABLES
    kernel = max((kernel.node.size for kernel in assets.kernels), default=0)
    verdict = Verdict()
    for initramfs in assets.distinct(InitramfsFacts):
        size = kernel + initramfs.node.size
        if 2 * size > usable:
            verdict.problems.append(
                f"{initramfs.path} has {_mib(size)} MiB with the kernel: the partition BOOT of Talos "
                f"{expectation.talos or ''}, of nodes that start with GRUB, has {_mib(room)} MiB, in which the next "
                "ones have to fit beside them at an upgrade"
            )
        verdict.evidence.append(f"{initramfs.path}: {_mib(size)} of {_mib(usable // 2)} MiB")
    return verdict


def _mib(size: int) -> int:
    return -(-size // _MIB)
