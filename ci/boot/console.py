"""A serial log as lines with times, and the signs on a console that show how a boot goes.

Sources of the signs: Linux (init/initramfs.c, init/main.c, init/do_mounts.c, kernel/module/, drivers/base/
firmware_loader/), EDK II (MdeModulePkg BdsDxe), Talos v1.11 and v1.13 (internal/app/init,
internal/pkg/mount/switchroot, internal/app/machined), and for stand-ins the lab's init.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.boot.model import Stage
from ci.common.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Line:
    """A line of the console."""

    #: Since QEMU was started.
    seconds: float
    text: str
    #: Whether its end was read; a console can be cut off in the middle of a line.
    whole: bool = True

    def render(self) -> str:
        """Return the line as it stands in a log file."""
        return f"{self.seconds:9.3f}  {self.text}"

    @property
    def message(self) -> str:
        """The text without the kernel's own time."""
        return _KERNEL_TIME.sub("", self.text)

    @property
    def messages(self) -> tuple[tuple[str, bool], ...]:
        """The messages in a line, and whether each is whole: another one can begin in the middle of the first."""
        parts = _INSIDE.split(self.text)
        last = len(parts) - 1
        return tuple((_KERNEL_TIME.sub("", part), self.whole and at == last) for at, part in enumerate(parts))


#: Characters of a line; a console that never ends one would fill the memory.
_LONGEST = 1 << 16
#: `[    1.234567] `, with CONFIG_PRINTK_CALLER `[    1.234567][    T1] `.
_KERNEL_TIME = re.compile(r"^\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? ?")
#: Where a message with the kernel's time begins in the middle of another one.
_INSIDE = re.compile(r"(?<=[^ ])(?=\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? )")
_OWN_TIME = re.compile(r"^ *(\d+\.\d{3})  (.*)$")
#: Where a terminal goes on writing somewhere else: the end of a line, as a reader sees it.
_MOVE = re.compile(r"\x1b\[\d*(?:;\d*)?H")
#: Other terminal control: CSI and OSC sequences, single escapes, and control characters.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_=>78]|[\x00-\x08\x0b-\x1f\x7f]"
)


def clean(text: str) -> str:
    """Return a line without what only a terminal understands, and without spaces at its end."""
    return shown(_CONTROL.sub("", text).rstrip())


class Splitter:
    """Cuts the bytes of a console into lines; the places to which a boot loader's menu moves are lines too."""

    def __init__(self) -> None:
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that are whole now."""
        *whole, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        if len(self._rest) > _LONGEST:  # a line that does not end is cut where it is too long
            whole.append(self._rest)
            self._rest = ""
        for raw in whole:
            yield from self._parts(raw)

    def rest(self) -> Iterator[str]:
        """Yield what stands there without an end."""
        raw, self._rest = self._rest, ""
        yield from (line for line in self._parts(raw) if line)

    @staticmethod
    def _parts(raw: str) -> Iterator[str]:
        parts = [clean(part) for part in _MOVE.split(raw)]
        if len(parts) == 1:
            yield parts[0]
        yield from (part for part in parts if part and len(parts) > 1)


def parse_log(text: str) -> Iterator[Line]:
    """Yield the lines of a log that this project wrote, or of any other, which has the kernel's times only."""
    seconds = 0.0
    lines = text.splitlines(keepends=True)
    for number, raw in enumerate(lines, 1):
        own = _OWN_TIME.match(raw.rstrip("\r\n"))
        line = clean(own[2] if own else raw)
        if time := own or _KERNEL_TIME.match(line):
            seconds = float(time[1])
        yield Line(seconds, line, whole=number < len(lines) or raw.endswith(("\n", "\r")))


#: The first line that fits says when a stage is reached.
STAGES: dict[Stage, re.Pattern[str]] = {
    Stage.FIRMWARE: re.compile(r"UEFI firmware \(version|^BdsDxe: "),
    Stage.LOADER: re.compile(r"^BdsDxe: starting Boot"),
    Stage.IPXE: re.compile(r"^iPXE (initialising|\d)"),
    Stage.STUB: re.compile(r"^EFI stub: "),
    Stage.KERNEL: re.compile(r"^Booting Linux on physical CPU|^Linux version \d"),
    Stage.INITRAMFS: re.compile(r"^Freeing initrd memory: "),
    Stage.INIT: re.compile(r"^Run /init as init process"),
    Stage.EXTENSIONS: re.compile(r"^\[talos\] \[initramfs\] enabling system extension "),
    Stage.ROOT: re.compile(r"^\[talos\] \[initramfs\] (entering the rootfs|executing /sbin/init)"),
    Stage.MACHINE: re.compile(r"^\[talos\] (?!\[initramfs\])"),
    Stage.READY: re.compile(r"^\[talos\] .*(entering maintenance service|machine is running and ready)"),
}

#: Where a machine of a cloud asks for its configuration: nobody answers here.
ASKS_CLOUD = re.compile(r"^\[talos\] .*\bfetching .*(config|metadata|context)")
#: The prefix of init's messages before it enters the root. No message comes twice.
INITRAMFS = "[talos] [initramfs] "
#: Where a machine without a machine configuration ends. `cri` is not started there, and what waits for it goes on
#: waiting; a service of an extension that does not need it runs.
MAINTENANCE = re.compile(r"^\[talos\] .*entering maintenance service")
ENABLED = re.compile(r"^\[talos\] \[initramfs\] enabling system extension (?P<name>\S+) (?P<version>\S+)$")
VERSION = re.compile(r"^\[talos\] \[initramfs\] booting Talos (?P<version>v\S+)$")
#: The imager's own layer: the index of the modules that extensions bring. It is not an extension, and no plan has it.
MODULES_LAYER = "modules.dep"

NOTHING_TO_BOOT = re.compile(
    r"^BdsDxe: (?:No bootable option|failed to load Boot\S+ .*: (?:Not Found|Unsupported|Load Error))"
    r"|^UEFI Interactive Shell"
)
INITRAMFS_CORRUPT = re.compile(r"^Initramfs unpacking failed: ")
#: The prefix of init's messages: that of its logger, and before the logger is set up Go's time.
_INIT = r"^(?:\[talos\] \[initramfs\] |\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)? )"
#: The kernel's word for an initramfs without /init, Talos's for all that goes wrong before the root is entered.
ROOT_MISSING = re.compile(
    rf"VFS: Unable to mount root fs|No working init found|{_INIT}(?:recovered from: |STAND-IN init failed: )"
)
MODULE_REFUSED = re.compile(
    r"^\S+: (?:version magic '.*' should be '|disagrees about version of symbol |Unknown symbol )"
    r"|^Loading of (?:unsigned )?module .*is rejected"
    r"|error loading module \\*\"\S+\": "
)
PANIC = re.compile(
    r"^Kernel panic - not syncing: |^Internal error: |^Unable to handle kernel |^BUG: (?!workqueue lockup)|^Oops[: ]"
    r"|^\[talos\] (?!task |service\[).*?(?:recovered from: |fatal sequencer error in |STAND-IN init failed: )"
    rf"|{_INIT}recovered from: |^\[talos\] .*microarchitecture level \d+ or higher is required"
)
#: Talos has loaded its machine configuration, or can't load it.
CONFIGURED = re.compile(r"^\[talos\] machine config loaded successfully")
CONFIG_REFUSED = re.compile(r'^\[talos\] controller failed \{.*"config\.AcquireController"')
FIRMWARE_MISSING = re.compile(r"Direct firmware load for \S+ failed with error|firmware: failed to load \S+")

#: After one of these nothing better comes.
FATAL = (ROOT_MISSING, PANIC, re.compile(r"^BdsDxe: No bootable option|^UEFI Interactive Shell"))
BAD_SIGNS = (
    NOTHING_TO_BOOT,
    INITRAMFS_CORRUPT,
    ROOT_MISSING,
    MODULE_REFUSED,
    PANIC,
    FIRMWARE_MISSING,
    CONFIG_REFUSED,
)
