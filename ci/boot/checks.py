"""The requirements of a boot, each with an id that stays, and the outcome that follows from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ci.boot import console
from ci.boot.model import STAGE_TITLES, End, Outcome, Stage
from ci.verify.model import Requirement, Verdict, skip

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from ci.boot.machined import Sequences, Volumes
    from ci.boot.model import BootRequest, EnabledExtension, Ending
    from ci.boot.services import Services
    from ci.verify.model import Check

_STAGES = list(Stage)
_NOT_SO_FAR = "the boot did not come so far"
#: The requirement that only a machine with a machine configuration has.
_OF_CONFIGURATION = "boot.configuration"
#: Services that are listed of a machine that is not up.
_MOST_PENDING = 12


@dataclass(frozen=True)
class Seen:
    """What a console showed, and how it ended."""

    request: BootRequest
    ending: Ending
    reached: frozenset[Stage]
    extensions: tuple[EnabledExtension, ...]
    version: str | None
    #: Seconds at which the console ends.
    now: float
    services: Services
    sequences: Sequences
    volumes: Volumes
    #: Whether it came to maintenance, where a machine without a machine configuration ends.
    maintenance: bool
    #: Whether it loaded a machine configuration.
    configured: bool
    found: Mapping[re.Pattern[str], list[str]]

    def passed(self, stage: Stage) -> bool:
        """Whether a stage, or one behind it, was reached: a console may lose a line."""
        return any(_STAGES.index(one) >= _STAGES.index(stage) for one in self.reached)

    def lines(self, sign: re.Pattern[str]) -> list[str]:
        """Return the lines of the console with a sign."""
        return list(self.found.get(sign, []))

    @property
    def last_stage(self) -> str:
        """The last stage that was reached, in words."""
        last = max(self.reached, key=_STAGES.index, default=None)
        return f"the last stage reached is: {STAGE_TITLES[last]}" if last else "nothing was seen on the console"


def _starts(seen: Seen) -> Verdict:
    said = list(seen.ending.said)
    if seen.ending.end in (End.NO_QEMU, End.FOREIGN_KERNEL):
        return Verdict(problems=said)
    if seen.passed(Stage.KERNEL):
        return Verdict(evidence=[seen.ending.machine])
    return Verdict(problems=[*seen.lines(console.NOTHING_TO_BOOT), *_how_it_ended(seen)])


def _how_it_ended(seen: Seen) -> list[str]:
    ending = seen.ending
    if ending.end is End.DEADLINE:
        return [f"deadline of {seen.request.deadline} s: {seen.last_stage}", *_doing(seen)]
    if ending.end is End.LIMIT:
        return [f"limit of {seen.request.limit} s for the whole boot: {seen.last_stage}", *_doing(seen)]
    if ending.end is End.EXITED and ending.code:
        how = f"exit code {ending.code}" if ending.code > 0 else f"signal {-ending.code}"
        return [f"QEMU ended with {how}: {seen.last_stage}", *ending.said]
    if ending.end is End.EXITED:
        return [f"the machine stopped or restarted: {seen.last_stage}", *_doing(seen), *ending.said]
    return [seen.last_stage, *_doing(seen)]


def _doing(seen: Seen) -> list[str]:
    """Return what the machine was doing when the console ended."""
    doing = "" if seen.sequences.ended else seen.sequences.doing
    pending = seen.services.pending(seen.now)
    more = [f"and {len(pending) - _MOST_PENDING} further services"] if len(pending) > _MOST_PENDING else []
    return [*([f"it was doing: {doing}"] if doing else []), *pending[:_MOST_PENDING], *more]


def _initramfs(seen: Seen) -> Verdict:
    problems = seen.lines(console.INITRAMFS_CORRUPT)
    if not problems and not seen.passed(Stage.INITRAMFS):
        return skip(_NOT_SO_FAR)
    return Verdict(problems=problems)


def _extensions(seen: Seen) -> Verdict:
    planned = seen.request.expected.extensions
    if planned is None:
        return skip("no plan says which extensions there should be")
    if not seen.passed(Stage.ROOT):
        return skip(_NOT_SO_FAR)
    enabled = [one for one in seen.extensions if one.name != console.MODULES_LAYER]
    wanted = {one.name: one.version for one in planned}
    counts = Counter(one.name for one in enabled)
    problems = [f"{name} is planned, and was not enabled" for name in wanted if name not in counts]
    problems += [f"{name} was enabled {count} times" for name, count in counts.items() if count > 1]
    for one in enabled:
        if one.name not in wanted:
            problems.append(f"{one.name} {one.version} was enabled, and is not planned")
        elif not _same(wanted[one.name], one.version):
            problems.append(f"{one.name} {one.version} was enabled, {wanted[one.name]} is planned")
    return Verdict(problems=problems, evidence=[f"{one.name} {one.version}" for one in enabled])


def _same(planned: str | None, found: str) -> bool:
    # Images are tagged with and without the `v` of the version in their manifest.
    return planned is None or planned.lstrip("v") == found.lstrip("v")


def _root(seen: Seen) -> Verdict:
    problems = seen.lines(console.ROOT_MISSING)
    if problems and not seen.passed(Stage.ROOT):
        return Verdict(problems=problems)
    return Verdict() if seen.passed(Stage.ROOT) else skip(_NOT_SO_FAR)


def _version(seen: Seen) -> Verdict:
    wanted = seen.request.expected.talos
    if wanted is None or seen.version is None:
        return skip("the console does not tell it" if wanted else "no plan says which")
    if seen.version != wanted:
        return Verdict(problems=[f"Talos {seen.version} boots, {wanted} is planned"])
    return Verdict(evidence=[f"Talos {seen.version}"])


def _none(sign: re.Pattern[str], seen: Seen) -> Verdict:
    return Verdict(problems=seen.lines(sign)) if seen.passed(Stage.KERNEL) else skip(_NOT_SO_FAR)


def _configuration(seen: Seen) -> Verdict:
    if not seen.passed(Stage.MACHINE):
        return skip(_NOT_SO_FAR)
    if seen.configured:
        return Verdict()
    problems = seen.lines(console.CONFIG_REFUSED)
    if seen.maintenance:
        return Verdict(problems=["the machine went into maintenance without it", *problems])
    return Verdict(problems=problems) if problems else skip(_NOT_SO_FAR)


def _volumes(seen: Seen) -> Verdict:
    return Verdict(problems=seen.volumes.failed()) if seen.passed(Stage.MACHINE) else skip(_NOT_SO_FAR)


def _sequences(seen: Seen) -> Verdict:
    problems = [line for failure in seen.sequences.failures for line in failure.lines]
    return Verdict(problems=problems) if seen.passed(Stage.MACHINE) else skip(_NOT_SO_FAR)


def _crashes(seen: Seen) -> Verdict:
    problems = [line for one in seen.services.troubled(seen.now) for line in one.trouble()]
    return Verdict(problems=problems) if seen.passed(Stage.MACHINE) else skip(_NOT_SO_FAR)


def _services(seen: Seen) -> Verdict:
    if not seen.passed(Stage.MACHINE):
        return skip(_NOT_SO_FAR)
    held = ", ".join(seen.services.held())
    if seen.maintenance and not seen.configured:
        # What a service waits for may well be in the configuration that the machine does not have.
        waiting = ", ".join([*seen.services.held(), *seen.services.waiting()])
        more = f", and these wait: {waiting}" if waiting else ""
        return skip(f"no machine configuration: cri is not started{more}")
    if Stage.READY in seen.reached:
        return Verdict()
    problems = [f"{name}: {why}" for name, why in seen.services.waiting().items()]
    if not problems and not seen.services.cri:
        why = f": {held} wait for services of the base, or for the network" if held else ""
        return skip(_NOT_SO_FAR + why)
    return Verdict(problems=problems)


def _up(seen: Seen) -> Verdict:
    if Stage.READY in seen.reached:
        return Verdict()
    return Verdict(problems=_how_it_ended(seen))


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("boot.kernel", "The kernel starts.", _starts),
    Requirement("boot.initramfs", "The initramfs is unpacked whole.", _initramfs),
    Requirement("boot.version", "The planned version of Talos boots.", _version),
    Requirement("boot.extensions", "The planned extensions are enabled, and no others.", _extensions),
    Requirement("boot.root", "The root file system is mounted and entered.", _root),
    Requirement("boot.modules", "Every kernel module that is asked for loads.", partial(_none, console.MODULE_REFUSED)),
    Requirement("boot.firmware", "No driver misses its firmware.", partial(_none, console.FIRMWARE_MISSING)),
    Requirement("boot.panic", "Neither kernel nor init gives up.", partial(_none, console.PANIC)),
    Requirement(_OF_CONFIGURATION, "The machine takes its machine configuration.", _configuration),
    Requirement("boot.volumes", "No volume fails.", _volumes),
    Requirement("boot.sequences", "No sequence of machined fails.", _sequences),
    Requirement("boot.crashes", "No service crashes in a loop, and none has failed.", _crashes),
    Requirement("boot.services", "No extension's service is left waiting.", _services),
    Requirement("boot.ready", "The machine comes up before the deadline.", _up),
)


def checks(seen: Seen) -> tuple[Check, ...]:
    """Return all requirements of a boot with how they went."""
    wanted = (one for one in REQUIREMENTS if seen.request.machine_config or one.id != _OF_CONFIGURATION)
    return tuple(one.run(seen).check(one.id, one.sentence) for one in wanted)


def outcome(seen: Seen) -> Outcome:
    """Return the outcome: of several failures the one that explains the others."""
    if seen.ending.end is End.NO_QEMU:
        return Outcome.QEMU_MISSING
    if seen.ending.end is End.FOREIGN_KERNEL:
        return Outcome.FOREIGN_KERNEL
    if seen.ending.end is End.EXITED and seen.ending.code:
        return Outcome.QEMU_CRASHED
    if seen.lines(console.NOTHING_TO_BOOT) and not seen.passed(Stage.KERNEL):
        return Outcome.NOTHING_TO_BOOT
    failed = {one.id for one in checks(seen) if one.status == "fail"}
    for check, found in _EXPLANATIONS.items():
        if check in failed:
            return found
    if "boot.ready" not in failed:
        return Outcome.BOOTED
    return Outcome.STOPPED if seen.ending.end is End.EXITED else Outcome.HANG


_EXPLANATIONS = {
    "boot.initramfs": Outcome.INITRAMFS_CORRUPT,
    "boot.root": Outcome.ROOT_MISSING,
    "boot.modules": Outcome.MODULE_REFUSED,
    "boot.panic": Outcome.PANIC,
    "boot.version": Outcome.OTHER_VERSION,
    "boot.extensions": Outcome.EXTENSIONS_DIFFER,
    "boot.volumes": Outcome.VOLUME_FAILED,
    "boot.sequences": Outcome.SEQUENCE_FAILED,
    _OF_CONFIGURATION: Outcome.NOT_CONFIGURED,
    "boot.crashes": Outcome.SERVICE_CRASHES,
    "boot.services": Outcome.SERVICE_WAITS,
    "boot.firmware": Outcome.FIRMWARE_MISSING,
}
