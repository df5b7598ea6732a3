"""What is read from machined's lines on sequences, volumes and several failures, besides the recorded consoles."""

from __future__ import annotations

import pytest

from ci.boot.console import parse_log
from ci.boot.model import BootVerdict, End, Ending, Outcome
from ci.boot.reader import Reader, read_boot
from ci.boot.services import Services
from ci.plan.expectation import Expectation
from tests.unit.boot.machined_lines import CRASH, CRI, HEAD, READY, RUNS, WAITS, failed, log, read
from tests.unit.boot.requests import LOGS, console, request

TASK = "[talos] task {} (2/3): failed: {}"


@pytest.mark.parametrize(
    ("lines", "evidence"),
    [
        (
            (
                "[talos] phase ephemeral (5/9): 3 tasks(s)",
                TASK.format("mountEphemeralPartition", "no such device"),
                "[talos] phase ephemeral (5/9): failed",
                "[talos] boot sequence: failed",
                "[talos] error running phase 5 in boot sequence: task 2/3: failed, no such device",
            ),
            ("boot sequence, phase ephemeral (5/9), task mountEphemeralPartition (2/3): failed: no such device",),
        ),
        (
            (
                "[talos] phase a (1/2): 2 tasks(s)",
                TASK.format("one", "2 errors occurred:"),
                "\t* first",
                "eth0: link is up",
                '[talos] controller failed {"error": "1 error occurred:\\n\\t* not this one"}',
                TASK.format("two", "1 error occurred:"),
                "\t* third",
                " * second",
                "[talos] phase a (1/2): failed",
            ),
            (
                "boot sequence, phase a (1/2), task one (2/3): failed: 2 errors occurred:",
                "* first",
                "* second",
                "boot sequence, phase a (1/2), task two (2/3): failed: 1 error occurred:",
                "* third",
            ),
        ),
        (
            ("[talos] error running phase 3 in boot sequence: task 1/1: failed, 1 error occurred:", "\t* why"),
            ("boot sequence: failed: 1 error occurred:", "* why"),
        ),
        (("[talos] boot sequence: failed",), ("boot sequence: failed",)),
        (("[talos] phase a (1/2): failed", "[talos] boot sequence: failed"), ("boot sequence, phase a (1/2): failed",)),
        (
            (
                "[talos] phase userDisks (7/9): 1 tasks(s)",
                (
                    "[talos] task mountUserDisks (1/1): mountUserDisks failed, rebooting in 35 minutes. You can use "
                    "talosctl apply-config or talosctl edit mc to fix the issues, error:"
                ),
                "[talos] failed looking up something",
                "disk /dev/sdb has no partition",
            ),
            (
                (
                    "boot sequence, phase userDisks (7/9), task mountUserDisks (1/1): failed: mountUserDisks failed, "
                    "rebooting in 35 minutes. You can use talosctl apply-config or talosctl edit mc "
                    "to fix the issues, error:"
                ),
                "* disk /dev/sdb has no partition",
            ),
        ),
    ],
)
def test_a_sequence_that_fails_is_named_with_its_reasons(lines: tuple[str, ...], evidence: tuple[str, ...]) -> None:
    verdict = read(log(*lines))
    assert verdict.outcome is Outcome.SEQUENCE_FAILED
    assert failed(verdict)["sequences"] == evidence


@pytest.mark.parametrize(
    "line",
    [
        "[talos] boot sequence: done: 1m3s",
        "[talos] task loadConfig (1/1): done, 3s",
        "[talos] phase config (9/9): done, 3s",
        '[talos] failed looking up "time.cloudflare.com", ignored {"error": "no such host"}',
        '[talos] controller failed {"controller": "runtime.SBOMItemController", "error": "no such file"}',
        "[talos] service[udevd](Running): Health check failed: signal: killed: ",
        "[talos] install sequence: 0 phase(s)",
    ],
)
def test_what_is_no_failure_is_none(line: str) -> None:
    verdict = read(log(line))
    assert (verdict.outcome, failed(verdict)) == (Outcome.HANG, {})


VOLUME = '[talos] volume status {{"component": "x", "volume": "{}", "phase": "{}"{}, "location": "/dev/vda5"}}'


@pytest.mark.parametrize("name", ["STATE", "EPHEMERAL", "META", "u-data", "/var/lib/etcd"])
def test_any_volume_that_fails_is_named_with_its_text(name: str) -> None:
    verdict = read(log(VOLUME.format(name, "waiting -> failed", ', "error": "no disk \\"matches\\"\\n"')))
    assert verdict.outcome is Outcome.VOLUME_FAILED
    assert failed(verdict)["volumes"] == (f'volume {name}: no disk "matches"',)


def test_a_volume_that_is_ready_after_all_has_not_failed() -> None:
    lines = log(
        VOLUME.format("STATE", "missing -> failed", ', "error": "x"'), VOLUME.format("STATE", "failed -> ready", "")
    )
    assert read(lines).outcome is Outcome.HANG


def test_a_volume_explains_the_sequence_and_the_services_that_fail_after_it() -> None:
    verdict = read(
        log(
            VOLUME.format("EPHEMERAL", "waiting -> failed", ', "error": "not enough space"'),
            TASK.format("mountEphemeralPartition", "volume failed"),
            CRASH.format("ext-a", "Containerd(ext-a)", "exit code 1"),
            WAITS.format("b", "extension service config"),
        )
    )
    assert (verdict.outcome, set(failed(verdict))) == (
        Outcome.VOLUME_FAILED,
        {"volumes", "sequences", "crashes", "services"},
    )


def test_a_line_that_begins_inside_another_one_is_read() -> None:
    text = (
        "[   30.000000] audit: type=1305 aud[   30.100000] [talos] task one (1/1): failed: no disk\n"
        '[   31.000000] [talos] service[ext-a](Waiting): Waiting for network, file "/de[   31.1] x\n'
    )
    verdict = read(text)
    assert failed(verdict)["sequences"] == ("boot sequence, task one (1/1): failed: no disk",)


EARLY = "2026/11/28 19:15:22 recovered from: early boot failed: mount /proc: device or resource busy"


def test_an_init_that_dies_before_its_logger_is_named_with_its_words() -> None:
    head = "".join(HEAD.splitlines(keepends=True)[:3])
    reader = Reader(request(expected=Expectation()))
    for line in parse_log(f"{head}{EARLY}\r\n2026/11/28 19:15:22 rebooting in 10 seconds\r\n"):
        reader.feed(line)
    assert reader.decided
    verdict = reader.verdict(Ending(End.EXITED, 14.0, code=0))
    assert verdict.outcome is Outcome.ROOT_MISSING
    assert failed(verdict)["root"] == (EARLY,)


def test_a_configured_machine_is_up_when_cri_and_the_services_of_extensions_run() -> None:
    """A guest without a network never gets to `machine is running and ready`: kubelet waits for the time."""
    services = log(RUNS.format("ext-a", "a", "a"), "[talos] service[ext-b](Finished): Service finished successfully")
    late = log("[talos] service[kubelet](Waiting): Waiting for time sync", start=41.0)
    verdict = read(CRI, services, late)
    assert (verdict.outcome, verdict.seconds) == (Outcome.BOOTED, 30.0)
    assert read(CRI, services).outcome is Outcome.HANG
    none = log("[talos] something else", start=60.0), log("[talos] something else", start=81.0)
    assert (read(CRI, none[0]).outcome, read(CRI, none[1]).outcome) == (Outcome.HANG, Outcome.BOOTED)
    waiting = log(WAITS.format("c", "extension service config"), start=32.0)
    assert read(CRI, services, waiting, late).outcome is Outcome.SERVICE_WAITS


def given(*lines: str) -> BootVerdict:
    return read(log(*lines), machine_config="machine.yaml")


LOADED = '[talos] machine config loaded successfully {"sources": ["metal"]}'
MAINTENANCE = "[talos] entering maintenance service {}"
REFUSED = '[talos] controller failed {"controller": "config.AcquireController", "error": "unknown keys found"}'


def test_a_machine_that_does_not_take_its_configuration_is_not_up_in_maintenance() -> None:
    assert given(MAINTENANCE).outcome is Outcome.NOT_CONFIGURED
    assert failed(given(MAINTENANCE))["configuration"] == ("the machine went into maintenance without it",)
    assert failed(given(REFUSED))["configuration"] == (f"[   30.000000] {REFUSED}",)
    assert read(log(MAINTENANCE)).outcome is Outcome.BOOTED
    assert "configuration" not in {one.id.removeprefix("boot.") for one in read(log(MAINTENANCE)).checks}
    assert given(LOADED, READY).outcome is Outcome.BOOTED
    assert given(REFUSED, LOADED, READY).outcome is Outcome.BOOTED


def test_services_are_not_judged_before_their_turn() -> None:
    def services(*parts: str) -> tuple[str, tuple[str, ...]]:
        (found,) = (one for one in read(*parts).checks if one.id == "boot.services")
        return found.status, found.evidence

    waits = log(WAITS.format("a", 'service "cri" to be registered'))
    far = "the boot did not come so far"
    assert services() == ("skip", (far,))
    assert services(waits) == ("skip", (f"{far}: ext-a wait for services of the base, or for the network",))
    assert services(CRI, waits) == ("pass", ())
    assert services(CRI, log(RUNS.format("ext-a", "a", "a"))) == ("pass", ())


def test_many_services_are_read_and_forgotten_in_time() -> None:
    services = Services()
    for at in range(3):
        services.feed(RUNS.format("ext-a", "a", "a"), float(at))
    assert services.feed("no line of a service", 1.0) is None
    assert services.up_since(3.0) is None


def test_a_recorded_console_with_failures_of_all_kinds_at_once_names_each() -> None:
    text = console("config-no-extension-config") + log(
        VOLUME.format("u-data", "waiting -> failed", ', "error": "no disk"'),
        "[talos] reboot sequence: failed",
        start=400.0,
    )
    verdict = read_boot(parse_log(text), request(expected=Expectation()))
    assert (verdict.outcome, set(failed(verdict))) == (
        Outcome.VOLUME_FAILED,
        {"volumes", "sequences", "crashes", "services"},
    )


@pytest.mark.parametrize(
    ("name", "outcome", "check"),
    [
        ("maintenance", Outcome.BOOTED, None),
        ("requirements", Outcome.SEQUENCE_FAILED, "sequences"),
        ("waits", Outcome.SERVICE_WAITS, "services"),
        ("ready", Outcome.BOOTED, None),
        ("volume", Outcome.VOLUME_FAILED, "volumes"),
        ("crashes", Outcome.SERVICE_CRASHES, "crashes"),
        ("unread", Outcome.NOT_CONFIGURED, "configuration"),
    ],
)
def test_the_labs_node_is_read_as_talos_is(name: str, outcome: Outcome, check: str | None) -> None:
    """What the lab's init prints in Talos's situations, as its own tests record it."""
    given = "" if name == "maintenance" else "machine.yaml"
    verdict = read((LOGS / f"lab-node-{name}.log").read_text(), machine_config=given)
    assert (verdict.outcome, set(failed(verdict))) == (outcome, {check} if check else set())
