"""What is read from consoles: recorded ones of Talos's own lines, and one of each way to fail."""

from __future__ import annotations

import pytest

from ci.boot.model import BootVerdict, End, Ending, Outcome, Stage
from ci.boot.reader import TAIL, Reader, read_boot
from ci.boot.ways import Way
from ci.plan.expectation import Expectation
from tests.unit.boot.requests import lines, request

TALOS = "talos-v1.13.6-arm64"


def status(verdict: BootVerdict) -> dict[str, str]:
    return {check.id.removeprefix("boot."): check.status for check in verdict.checks}


def evidence(verdict: BootVerdict, check: str) -> tuple[str, ...]:
    return next(one.evidence for one in verdict.checks if one.id == f"boot.{check}")


def test_talos_that_reaches_maintenance_has_booted() -> None:
    verdict = read_boot(lines(TALOS), request())
    assert (verdict.outcome, verdict.ok, verdict.tail) == (Outcome.BOOTED, True, ())
    assert {name for name, how in status(verdict).items() if how != "pass"} == {"services"}
    assert {one.stage: one.seconds for one in verdict.stages} == {
        Stage.KERNEL: 0.0,
        Stage.INITRAMFS: 2.604702,
        Stage.INIT: 2.870021,
        Stage.EXTENSIONS: 3.106003,
        Stage.ROOT: 3.360211,
        Stage.MACHINE: 4.090661,
        Stage.READY: 6.620713,
    }
    assert [one.name for one in verdict.extensions] == ["modules.dep", "spin", "zfs", "drbd"]


READY = '[    9.1] [talos] machine is running and ready {"component": "controller-runtime"}\n'


def test_a_configured_machine_has_booted_when_it_is_running_and_ready() -> None:
    verdict = read_boot(lines(TALOS, without="maintenance", and_then=READY), request())
    assert verdict.outcome is Outcome.BOOTED
    assert set(status(verdict).values()) == {"pass"}
    assert read_boot(lines(TALOS, without="maintenance"), request()).outcome is Outcome.HANG


@pytest.mark.parametrize(
    ("without", "more", "problem"),
    [
        ("extension zfs", "", "zfs is planned, and was not enabled"),
        ("nothing", "tailscale 1.98.10", "tailscale 1.98.10 was enabled, and is not planned"),
        ("nothing", "zfs 2.4.3-v1.13.6", "zfs was enabled 2 times"),
        ("extension zfs", "zfs 2.3.0-v1.13.6", "zfs 2.3.0-v1.13.6 was enabled, 2.4.3-v1.13.6 is planned"),
    ],
)
def test_extensions_other_than_planned_are_a_failure(without: str, more: str, problem: str) -> None:
    enabling = f"[    7.0] [talos] [initramfs] enabling system extension {more}\n" if more else ""
    verdict = read_boot(lines(TALOS, without=without, and_then=enabling), request())
    assert verdict.outcome is Outcome.EXTENSIONS_DIFFER
    assert evidence(verdict, "extensions") == (problem,)


def test_a_version_with_and_without_v_is_the_same_and_one_that_is_not_planned_is_any() -> None:
    expected = Expectation.model_validate(
        {"extensions": [{"name": "drbd", "version": "v9.3.2-v1.13.6"}, {"name": "zfs"}, {"name": "spin"}]}
    )
    assert read_boot(lines(TALOS), request(expected=expected)).ok


def test_without_a_plan_the_extensions_are_not_judged() -> None:
    verdict = read_boot(lines(TALOS), request(expected=Expectation()))
    assert (verdict.ok, status(verdict)["extensions"], status(verdict)["version"]) == (True, "skip", "skip")


def test_another_talos_than_planned_is_a_failure() -> None:
    verdict = read_boot(lines(TALOS, without="booting Talos", and_then=""), request())
    assert status(verdict)["version"] == "skip"
    other = "[    7.0] [talos] [initramfs] booting Talos v1.12.0\n"
    verdict = read_boot(lines(TALOS, without="booting Talos", and_then=other), request())
    assert verdict.outcome is Outcome.OTHER_VERSION
    assert evidence(verdict, "version") == ("Talos v1.12.0 boots, v1.13.6 is planned",)


@pytest.mark.parametrize(
    ("name", "outcome", "check", "words"),
    [
        ("lab-corrupt-initramfs", Outcome.INITRAMFS_CORRUPT, "initramfs", "ZSTD-compressed data is corrupt"),
        ("talos-v1.11.6-no-root", Outcome.ROOT_MISSING, "root", "early boot failed: error mounting /dev/loop0"),
        ("lab-no-root", Outcome.ROOT_MISSING, "root", "open /rootfs.sqsh: no such file or directory"),
        ("talos-no-init", Outcome.ROOT_MISSING, "root", "VFS: Unable to mount root fs on unknown-block(0,0)"),
        ("talos-module-of-another-kernel", Outcome.MODULE_REFUSED, "modules", "version magic '6.12.57-talos"),
        ("lab-module-of-another-kernel", Outcome.MODULE_REFUSED, "modules", 'error loading module \\"foreign\\"'),
        ("missing-firmware", Outcome.FIRMWARE_MISSING, "firmware", "rtl_nic/rtl8168h-2.fw failed with error -2"),
        ("talos-waiting-service", Outcome.SERVICE_WAITS, "services", "Waiting for extension service config"),
    ],
)
def test_what_went_wrong_is_named_with_its_line(name: str, outcome: Outcome, check: str, words: str) -> None:
    expected = None if name.startswith("lab-") else request().expected
    verdict = read_boot(lines(name), request(expected=expected or Expectation()))
    assert verdict.outcome is outcome
    assert status(verdict)[check] == "fail"
    assert words in "\n".join(evidence(verdict, check))
    assert verdict.tail[-1] == lines(name)[-1].text


def test_without_a_machine_configuration_no_service_is_judged() -> None:
    """Talos starts them all the same; what they wait for can be in the configuration that the machine does not have."""
    maintenance = "[   10.1] [talos] entering maintenance service\n"
    verdict = read_boot(lines("talos-waiting-service", and_then=maintenance), request())
    assert (verdict.outcome, status(verdict)["services"]) == (Outcome.BOOTED, "skip")
    assert evidence(verdict, "services") == (
        "no machine configuration: cri is not started, and these wait: ext-tailscale",
    )
    assert status(read_boot(lines("talos-waiting-service", and_then=READY), request()))["services"] == "pass"


def test_a_service_that_only_waited_for_a_while_is_no_problem() -> None:
    verdict = read_boot(lines("talos-waiting-service"), request())
    assert evidence(verdict, "services") == ("ext-tailscale: Waiting for extension service config",)


@pytest.mark.parametrize(
    "line",
    [
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
        "Internal error: Oops: 0000000096000004 [#1] SMP",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        '[talos] fatal sequencer error in "boot" sequence: sequence failed',
    ],
)
def test_a_panic_is_named_and_ends_the_wait(line: str) -> None:
    reader = Reader(request())
    for one in lines(TALOS, without="maintenance", and_then=f"[    9.0] {line}\n"):
        assert not reader.decided
        reader.feed(one)
    assert reader.decided
    verdict = reader.verdict(Ending(End.DECIDED, 9.0))
    assert verdict.outcome is Outcome.PANIC
    assert evidence(verdict, "panic") == (f"[    9.0] {line}",)


@pytest.mark.parametrize(
    "line",
    [
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 32s!",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "spl: module verification failed: signature and/or required key missing - tainting kernel",
    ],
)
def test_the_complaints_of_a_slow_emulation_are_no_panic(line: str) -> None:
    verdict = read_boot(lines(TALOS, and_then=f"[    9.0] {line}\n"), request())
    assert verdict.outcome is Outcome.BOOTED


def test_firmware_that_finds_nothing_is_named_and_ends_the_wait() -> None:
    reader = Reader(request(Way.ISO))
    for one in lines("firmware-finds-nothing"):
        reader.feed(one)
    assert reader.decided
    verdict = reader.verdict(Ending(End.DECIDED, 7.0))
    assert verdict.outcome is Outcome.NOTHING_TO_BOOT
    assert "Not Found" in evidence(verdict, "kernel")[0]
    assert verdict.last_stage is Stage.FIRMWARE


def test_the_initramfs_was_not_unpacked_when_its_memory_is_freed_after_a_failure() -> None:
    verdict = read_boot(lines("lab-corrupt-initramfs"), request())
    assert next(one.seconds for one in verdict.stages if one.stage is Stage.INITRAMFS) is None


def hang() -> list[str]:
    return [f"[   12.{number:02}] waiting {number}" for number in range(60)]


def test_a_hang_shows_the_last_stage_and_the_last_forty_lines() -> None:
    more = "\n".join(hang()) + "\n"
    cut = [line for line in lines(TALOS, and_then=more) if "[talos]" not in line.text or "initramfs" in line.text]
    ending = Ending(End.DEADLINE, 300.0, "QEMU 10.0.2, software emulation")
    verdict = read_boot(cut, request(), ending)
    assert verdict.outcome is Outcome.HANG
    assert evidence(verdict, "ready") == ("deadline of 300 s: the last stage reached is: root entered",)
    assert verdict.tail == tuple(hang()[-TAIL:])
    assert len(verdict.tail) == 40


def test_a_console_that_stays_silent_is_a_hang_before_the_kernel() -> None:
    verdict = read_boot([], request(), Ending(End.DEADLINE, 300.0))
    assert verdict.outcome is Outcome.HANG
    assert evidence(verdict, "kernel") == ("deadline of 300 s: nothing was seen on the console",)


@pytest.mark.parametrize(
    ("ending", "outcome", "words"),
    [
        (Ending(End.NO_QEMU, 0, said=("qemu is not installed",)), Outcome.QEMU_MISSING, "qemu is not installed"),
        (Ending(End.FOREIGN_KERNEL, 0, said=("it is for amd64",)), Outcome.FOREIGN_KERNEL, "it is for amd64"),
        (Ending(End.EXITED, 1, code=1, said=("no such device",)), Outcome.QEMU_CRASHED, "no such device"),
        (Ending(End.EXITED, 1, code=-11), Outcome.QEMU_CRASHED, "QEMU ended with signal 11"),
        (Ending(End.EXITED, 1, code=0), Outcome.STOPPED, "the machine stopped or restarted"),
    ],
)
def test_an_end_before_the_kernel_is_named(ending: Ending, outcome: Outcome, words: str) -> None:
    verdict = read_boot([], request(), ending)
    assert verdict.outcome is outcome
    assert words in "\n".join(evidence(verdict, "kernel"))


def test_a_machine_that_restarts_is_told_from_one_that_hangs() -> None:
    early = lines(TALOS, without="maintenance")
    assert read_boot(early, request(), Ending(End.EXITED, 9.0, code=0)).outcome is Outcome.STOPPED
    assert read_boot(early, request(), Ending(End.DEADLINE, 9.0)).outcome is Outcome.HANG


def test_what_explains_a_failure_is_said_before_what_follows_from_it() -> None:
    panic = "[   30.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
    verdict = read_boot(lines("lab-corrupt-initramfs", without="talos", and_then=panic), request())
    assert verdict.outcome is Outcome.INITRAMFS_CORRUPT
    assert status(verdict)["panic"] == "fail"


def test_lines_that_come_again_and_again_are_kept_a_few_times() -> None:
    reader = Reader(request())
    for one in lines("missing-firmware") * 10_000:
        reader.feed(one)
    assert len(evidence(reader.verdict(Ending(End.DECIDED, 1.0)), "firmware")) <= 21
