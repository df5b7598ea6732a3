"""The files that boot loaders need: systemd-boot's settings, GRUB's menu and images."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ImagerError
from .tools import copy_file, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .report import Progress

# Where UEFI looks on removable media; the ISO spells its folder in capitals, the disk does not.
BOOT_FILES = {"arm64": "BOOTAA64", "amd64": "BOOTX64"}
GRUB_MODULES = (
    *("part_gpt", "ext2", "fat", "xfs", "normal", "configfile", "linux", "boot", "search", "search_fs_uuid"),
    *("search_fs_file", "ls", "cat", "echo", "test", "help", "reboot", "halt", "all_video"),
)
GRUB_BIOS_MODULES = ("biosdisk", "part_msdos")
GRUB_UEFI = {"arm64": "arm64-efi", "amd64": "x86_64-efi"}
GRUB_FOLDER = Path("/usr/lib/grub")
# The boot partition is the third: EFI, BIOS, BOOT.
GRUB_PREFIX = "(hd0,gpt3)/grub"
_ENTRY = """\
menuentry "{title}" {{
  set gfxmode=auto
  set gfxpayload=text
  linux {folder}/vmlinuz {arguments}
  initrd {folder}/initramfs.xz
}}
"""


def loader_conf(enroll: str | None = None) -> str:
    """Returns systemd-boot's settings; `enroll` says when it may enroll Secure Boot keys, which only an ISO carries."""
    settings = "# what systemd-boot is to do\n\ntimeout 10\n"
    return settings if enroll is None else f"{settings}\nsecure-boot-enroll {enroll}\n"


def grub_quote(text: str) -> str:
    """Escapes what GRUB's shell would read otherwise."""
    return "".join(f"\\{letter}" if letter in '\\{}&$|;<>"' else letter for letter in text)


def grub_menu(entries: Sequence[tuple[str, str]], folder: str, default: str) -> str:
    """Returns a grub.cfg: entries as title and kernel arguments; kernel and initramfs lie in a folder."""
    head = (
        f"set default={default}\nset timeout=3\n\ninsmod all_video\n\nterminal_input console\nterminal_output console\n"
    )
    menu = [_ENTRY.format(title=title, folder=folder, arguments=grub_quote(text)) for title, text in entries]
    return "\n".join([head, *menu])


def iso_menu(cmdline: str) -> str:
    """Returns the menu of an ISO: Talos, and Talos that first wipes the system disk."""
    reset = f"{cmdline} talos.experimental.wipe=system"
    return grub_menu([("Talos ISO", cmdline), ("Reset Talos installation", reset)], "/boot", "0")


def disk_menu(cmdline: str, version: str, *, reset: bool) -> str:
    """Returns the menu of a disk whose kernel and initramfs lie in slot A of the boot partition."""
    title = f"A - Talos {version}"
    entries = [(title, cmdline)]
    if reset:
        wiping = f"{cmdline} talos.experimental.wipe=system:EPHEMERAL,STATE"
        entries.append(("Reset Talos installation and return to maintenance mode", wiping))
    return grub_menu(entries, "/A", f'"{title}"')


def grub_images(arch: str, scratch: Path, efi_file: Path, progress: Progress) -> None:
    """Makes GRUB's UEFI program, and for amd64 what BIOS boots: `core.img` and `boot.img` in the scratch folder.

    Raises ImagerError when grub-mkimage fails.
    """
    copies: list[tuple[Path, Path]] = []
    if arch == "amd64":
        _mkimage("core", "i386-pc", scratch / "core.img", [], (*GRUB_MODULES, *GRUB_BIOS_MODULES))
        copies.append((GRUB_FOLDER / "i386-pc/boot.img", scratch / "boot.img"))
    _mkimage("efi", GRUB_UEFI[arch], scratch / "grub-efi.img", ["--compression", "xz"], GRUB_MODULES)
    copies.append((scratch / "grub-efi.img", efi_file))
    for source, target in copies:
        try:
            copy_file(source, target, progress)
        except ImagerError as error:
            raise ImagerError(f"failed to copy grub generated img files: {error}") from None


def _mkimage(what: str, target: str, output: Path, options: list[str], modules: Sequence[str]) -> None:
    command = ["grub-mkimage", "--format", target, "--output", str(output), "--prefix", GRUB_PREFIX]
    try:
        run([*command, *options, *modules])
    except ImagerError as error:
        raise ImagerError(f"failed to generate grub {what} image: {error}") from None


def link_bios_images(boot: bytes, core: bytes, sector: int) -> tuple[bytes, bytes]:
    """Returns boot.img and core.img that find each other when core.img starts at a disk's sector.

    The places are GRUB's own: boot.img reads the sector at 0x5c, and jumps at 0x66 unless that is a no-op; the last
    block list of core.img's first sector, at 0x1f4, names where the rest of it lies.
    """
    if len(boot) < 0x68 or len(core) < 0x1FC:
        raise ImagerError("failed to patch GRUB blocklists: boot.img or core.img is too small")
    boot_image, core_image = bytearray(boot), bytearray(core)
    struct.pack_into("<Q", boot_image, 0x5C, sector)
    boot_image[0x66:0x68] = b"\x90\x90"
    struct.pack_into("<Q", core_image, 0x1F4, sector + 1)
    return bytes(boot_image), bytes(core_image)
