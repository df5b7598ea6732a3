"""The kernel command line: keys in order of appearance, each with its values in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import platforms
from .profile import OutputKind, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .contract import Quirks

PLATFORM = "talos.platform"
_NVME = "nvme_core.io_timeout=4294967295"


class Cmdline:
    """A set of kernel arguments with the Talos rules for adding, overwriting and taking away."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def __str__(self) -> str:
        pairs = ((key, value) for key, values in self._values.items() for value in values)
        return " ".join(f"{key}={value}" if value else key for key, value in pairs)

    def append(self, arguments: Iterable[str]) -> None:
        """Adds arguments; those of a known key go to that key's place."""
        for key, values in _grouped(arguments).items():
            self._values.setdefault(key, []).extend(values)

    def set(self, arguments: Iterable[str]) -> None:
        """Adds arguments; those of a known key replace its values at its place."""
        self._values.update(_grouped(arguments))

    def customize(self, arguments: Iterable[str]) -> None:
        """Adds a user's arguments: `console` and the platform replace, `-key` and `-key=value` take away."""
        for key, values in _grouped(arguments).items():
            if len(key) > 1 and key.startswith("-"):
                self._remove(key[1:], values)
            elif key in {"console", PLATFORM}:
                self._values[key] = values
            else:
                self._values.setdefault(key, []).extend(values)

    def _remove(self, key: str, values: list[str]) -> None:
        if values[0] == "":
            self._values.pop(key, None)
        elif key in self._values:
            self._values[key] = [value for value in self._values[key] if value not in values]


def _grouped(arguments: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for argument in " ".join(arguments).split():
        key, _, value = argument.partition("=")
        grouped.setdefault(key, []).append(value)
    return grouped


def build_cmdline(profile: Profile, quirks: Quirks, board: Sequence[str] = ()) -> str:
    """Returns the kernel command line that a profile asks for; `board` are the arguments of an overlay.

    Raises ImagerError for a platform that Talos does not know.
    """
    kind = profile.output.kind
    cmdline = Cmdline()
    platform = platforms.find(profile.platform, quirks)
    cmdline.append([f"{PLATFORM}={platform.name or profile.platform}"])
    cmdline.set(_platform_arguments(platform, profile, quirks))
    if kind is OutputKind.ISO and quirks.since(1, 8):
        cmdline.append(["talos.halt_if_installed=1"])
    cmdline.set(board)
    cmdline.append(_default_arguments(quirks))
    if profile.secure_boot:
        cmdline.append(["lockdown=confidentiality"])
    meta = profile.customization.meta_contents
    if meta and kind is not OutputKind.IMAGE:
        cmdline.append([f"talos.environment=INSTALLER_META_BASE64={meta.encode(compress=quirks.since(1, 6, 3))}"])
    cmdline.customize(profile.customization.extra_kernel_args)
    return str(cmdline)


def _platform_arguments(platform: platforms.Platform, profile: Profile, quirks: Quirks) -> Sequence[str]:
    with_serial = quirks.version is not None and not quirks.since(1, 8)
    if (profile.platform, profile.arch) == ("metal", "amd64") and with_serial:
        return ["console=ttyS0", "console=tty0"]
    arguments = platform.arguments(profile.arch)
    return (*arguments, _NVME) if profile.platform == "aws" and quirks.since(1, 14) else arguments


def _default_arguments(quirks: Quirks) -> list[str]:
    arguments = ["slab_nomerge=", "pti=on", "consoleblank=0"]
    if not quirks.since(1, 14):
        arguments = ["init_on_alloc=1", *arguments, _NVME]
    arguments.append("printk.devkmsg=on")
    if quirks.version is not None and not quirks.since(1, 11):
        arguments += ["ima_template=ima-ng", "ima_appraise=fix", "ima_hash=sha512"]
    if quirks.since(1, 10):
        arguments.append("selinux=1")
    if quirks.since(1, 12):
        arguments.append("module.sig_enforce=1")
    if quirks.since(1, 13):
        arguments.append("proc_mem.force_override=never")
    return arguments
