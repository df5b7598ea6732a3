"""What is booted, how it went, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from ci.boot.ways import DEADLINE, Way
from ci.common.arch import Arch
from ci.common.values import Value
from ci.plan.expectation import Expectation
from ci.verify.model import Check

#: The whole boot may take this many times the deadline.
LIMIT = 6


class BootRequest(Value):
    """One boot: what is booted, and what is expected of it."""

    way: Way
    arch: Arch
    variant: str
    expected: Expectation
    #: Path below the assets' folder, by what it is: `kernel`, `initramfs`, `uki`, `iso`, `metal`.
    files: dict[str, str] = Field(default_factory=dict[str, str])
    #: Name of the output that is booted, where it is not the way's own: `oracle.qcow2`.
    output: str = ""
    #: Whether it is for a cloud, which the machine would get its configuration from.
    cloud: bool = False
    #: Kernel arguments of the assets; only where the kernel is started without a boot loader that has them.
    cmdline: str = ""
    #: Further kernel arguments.
    arguments: tuple[str, ...] = ()
    #: The command of the Matchbox image, for the way `netboot`.
    matchbox: tuple[str, ...] = ()
    #: The machine configuration's path below the assets' folder, for a machine that gets one.
    machine_config: str = ""
    #: Seconds without progress.
    deadline: int = DEADLINE
    #: MiB.
    memory: int = 2048
    cpus: int = 2

    @property
    def title(self) -> str:
        """What is booted, in words."""
        return f"{self.variant} for {self.arch} from {self.output or self.way}"

    @property
    def limit(self) -> int:
        """Seconds that the whole boot may take."""
        return LIMIT * self.deadline


class Stage(StrEnum):
    """How far a boot has come, in order."""

    FIRMWARE = "firmware"
    LOADER = "loader"
    IPXE = "ipxe"
    STUB = "stub"
    KERNEL = "kernel"
    INITRAMFS = "initramfs"
    INIT = "init"
    EXTENSIONS = "extensions"
    ROOT = "root"
    MACHINE = "machine"
    READY = "ready"


#: What has happened when a stage is reached.
STAGE_TITLES: dict[Stage, str] = {
    Stage.FIRMWARE: "firmware runs",
    Stage.LOADER: "boot loader starts",
    Stage.IPXE: "iPXE runs",
    Stage.STUB: "kernel loaded",
    Stage.KERNEL: "kernel starts",
    Stage.INITRAMFS: "initramfs unpacked",
    Stage.INIT: "init runs",
    Stage.EXTENSIONS: "extensions enabled",
    Stage.ROOT: "root entered",
    Stage.MACHINE: "machine starts",
    Stage.READY: "machine is up",
}


def stages_of(way: Way) -> tuple[Stage, ...]:
    """Return the stages that a boot from there goes through."""
    left_out = {
        Way.KERNEL: {Stage.FIRMWARE, Stage.LOADER, Stage.IPXE, Stage.STUB},
        Way.NETBOOT: set[Stage](),
    }.get(way, {Stage.IPXE})
    return tuple(stage for stage in Stage if stage not in left_out)


class End(StrEnum):
    """Why a boot's log ends."""

    #: The outcome was known, and QEMU was ended.
    DECIDED = "decided"
    #: There was no progress until the deadline.
    DEADLINE = "deadline"
    #: The whole boot took too long.
    LIMIT = "limit"
    #: QEMU ended.
    EXITED = "exited"
    #: QEMU is not installed.
    NO_QEMU = "no-qemu"
    #: The kernel can't run in QEMU, which was not started.
    FOREIGN_KERNEL = "foreign-kernel"
    #: The log was read from a file that ends.
    FILE = "file"


@dataclass(frozen=True)
class Ending:
    """How a boot's run ended."""

    end: End
    #: Since QEMU was started.
    seconds: float
    #: What ran it, in words.
    machine: str = ""
    #: QEMU's exit code, negative for a signal.
    code: int | None = None
    #: What QEMU printed, or why it was not started.
    said: tuple[str, ...] = ()


class Outcome(StrEnum):
    """How a boot went, as one word."""

    BOOTED = "booted"
    QEMU_MISSING = "qemu-missing"
    FOREIGN_KERNEL = "foreign-kernel"
    NOTHING_TO_BOOT = "nothing-to-boot"
    INITRAMFS_CORRUPT = "initramfs-corrupt"
    ROOT_MISSING = "root-missing"
    MODULE_REFUSED = "module-refused"
    PANIC = "panic"
    EXTENSIONS_DIFFER = "extensions-differ"
    FIRMWARE_MISSING = "firmware-missing"
    NOT_CONFIGURED = "not-configured"
    VOLUME_FAILED = "volume-failed"
    SEQUENCE_FAILED = "sequence-failed"
    SERVICE_CRASHES = "service-crashes"
    SERVICE_WAITS = "service-waits"
    OTHER_VERSION = "other-version"
    QEMU_CRASHED = "qemu-crashed"
    STOPPED = "stopped"
    HANG = "hang"


OUTCOME_SENTENCES: dict[Outcome, str] = {
    Outcome.BOOTED: "the machine is up",
    Outcome.QEMU_MISSING: "there is no QEMU to boot in",
    Outcome.FOREIGN_KERNEL: "the machine can't run this kernel",
    Outcome.NOTHING_TO_BOOT: "the firmware finds nothing that it can start",
    Outcome.INITRAMFS_CORRUPT: "the initramfs can't be unpacked",
    Outcome.ROOT_MISSING: "the root file system can't be put together",
    Outcome.MODULE_REFUSED: "a kernel module does not load",
    Outcome.PANIC: "the kernel or init gave up",
    Outcome.EXTENSIONS_DIFFER: "other extensions are enabled than planned",
    Outcome.NOT_CONFIGURED: "the machine does not take its machine configuration",
    Outcome.VOLUME_FAILED: "a volume fails",
    Outcome.SEQUENCE_FAILED: "a sequence of machined fails",
    Outcome.SERVICE_CRASHES: "a service crashes in a loop, or has failed",
    Outcome.SERVICE_WAITS: "an extension's service waits for something that nobody gives it",
    Outcome.FIRMWARE_MISSING: "a driver does not find its firmware",
    Outcome.OTHER_VERSION: "another version of Talos boots than planned",
    Outcome.QEMU_CRASHED: "QEMU itself failed",
    Outcome.STOPPED: "the machine stopped or restarted before it was up",
    Outcome.HANG: "the machine was not up at the deadline",
}
#: The sentences for a hang that no deadline ended: a file ends, or the whole boot reaches its limit.
UNFINISHED = "the console ends before the machine is up: it had not finished yet"
TOO_LONG = "the machine was not up within the limit, and went on until then"


class StageTime(Value):
    """A stage of a boot."""

    stage: Stage
    #: Since QEMU was started; `None` where it was not reached.
    seconds: float | None


class EnabledExtension(Value):
    """An extension that the console says was enabled."""

    name: str
    version: str
    #: Since QEMU was started.
    seconds: float


class BootVerdict(Value):
    """How a boot went, with the evidence."""

    format: int = 1
    variant: str
    arch: Arch
    way: Way
    outcome: Outcome
    #: From the start of QEMU until it was known.
    seconds: float
    #: What ran it: QEMU's version, and how the processor was had.
    machine: str
    stages: tuple[StageTime, ...]
    extensions: tuple[EnabledExtension, ...]
    checks: tuple[Check, ...]
    #: Replaces the outcome's own sentence, for a hang that no deadline ended.
    sentence: str = ""
    #: The last lines of the console, of a boot that failed.
    tail: tuple[str, ...] = ()
    stand_in: bool = False

    @property
    def ok(self) -> bool:
        """Whether the machine came up as planned."""
        return self.outcome is Outcome.BOOTED

    @property
    def last_stage(self) -> Stage | None:
        """The last stage that was reached."""
        reached = [one.stage for one in self.stages if one.seconds is not None]
        return reached[-1] if reached else None
