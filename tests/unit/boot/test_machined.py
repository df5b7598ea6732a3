"""What is read from machined's lines on sequences, services and volumes, in other cases than the recorded ones."""

from __future__ import annotations

from typing import Any

import pytest

from ci.boot.console import parse_log
from ci.boot.model import BootVerdict, End, Ending, Outcome
from ci.boot.reader import Reader, read_boot
from ci.boot.services import Services, parse_conditions, parse_words
from ci.plan.expectation import Expectation
from tests.unit.boot.requests import LOGS, console, request

HEAD = (
    "[    0.000000] Linux version 6.18.38-talos\n[    2.600000] Freeing initrd memory: 1K\n"
    "[    2.800000] Run /init as init process\n[    3.300000] [talos] [initramfs] entering the rootfs\n"
    "[    4.000000] [talos] boot sequence: 9 phase(s)\n"
)
CRI = (
    '[   20.000000] [talos] service[cri](Running): Process Process(["/bin/containerd"]) started with PID 355\n'
    "[   21.000000] [talos] service[cri](Running): Health check successful\n"
)


def log(*messages: str, start: float = 30.0) -> str:
    """The lines of a console, a second apart."""
    return "".join(f"[{start + at:12.6f}] {message}\n" for at, message in enumerate(messages))


def read(*parts: str, ending: Ending | None = None, **changed: Any) -> BootVerdict:
    text = HEAD + "".join(parts)
    return read_boot(parse_log(text), request(expected=Expectation(), **changed), ending)


def failed(verdict: BootVerdict) -> dict[str, tuple[str, ...]]:
    checks = {one.id.removeprefix("boot."): one.evidence for one in verdict.checks if one.status == "fail"}
    checks.pop("ready", None)
    return checks


@pytest.mark.parametrize(
    ("message", "conditions"),
    [
        ("Waiting for extension service config", ("extension service config",)),
        (
            'Waiting for service "containerd" to be "up", service "cri" to be registered, network, time sync',
            ('service "containerd" to be "up"', 'service "cri" to be registered', "network", "time sync"),
        ),
        (
            'Waiting for volumes /var/lib, /var/lib/cni, /opt to be mounted, service "cri" to be "up", network',
            ("volumes /var/lib, /var/lib/cni, /opt to be mounted", 'service "cri" to be "up"', "network"),
        ),
        ('Waiting for file "/dev/a, b" to exist, network', ('file "/dev/a, b" to exist', "network")),
        ('Waiting for service "udevd" to be up/down, network', ('service "udevd" to be up/down', "network")),
        ('Waiting for kubeconfig "/etc/x" to be ready', ('kubeconfig "/etc/x" to be ready',)),
        ("Health check successful", ()),
    ],
)
def test_conditions_are_told_apart_although_some_have_commas(message: str, conditions: tuple[str, ...]) -> None:
    assert parse_conditions(message) == conditions


def test_of_a_line_that_is_cut_off_the_last_condition_is_not_believed() -> None:
    assert parse_conditions('Waiting for network, file "/dev/z', whole=False) == ("network",)


@pytest.mark.parametrize(
    ("error", "text", "words"),
    [
        (
            'task "a" failed: exit code 1 (last log "one\\ntwo \\"q\\" a\\\\b")',
            'task "a" failed: exit code 1',
            ("one", 'two "q" a\\b'),
        ),
        ('exit code 2 (last log "cut off in the mid', "exit code 2", ("cut off in the mid",)),
        ("signal: killed", "signal: killed", ()),
        ('x (last log "\\x1b[31mred")', "x", ("\\x1b[31mred",)),
        ('x (last log "a\\\\nb")', "x", ("a\\nb",)),
    ],
)
def test_the_last_words_of_a_service_are_unquoted_and_can_do_nothing_to_a_terminal(
    error: str, text: str, words: tuple[str, ...]
) -> None:
    assert parse_words(error) == (text, words)


WAITS = "[talos] service[ext-{}](Waiting): Waiting for {}"


@pytest.mark.parametrize(
    ("condition", "before", "after"),
    [
        ("extension service config", True, True),
        ('file "/dev/drbd0" to exist', True, True),
        ("time sync", True, True),
        ('service "cri" to be "up"', False, False),
        ('service "containerd" to be "up", extension service config', False, True),
        ('network, file "/dev/net/tun" to exist', False, True),
        ("network", False, False),
        ('service "ext-other" to be registered', False, True),
    ],
)
def test_a_service_waits_for_what_remains_when_the_base_is_there(condition: str, before: bool, after: bool) -> None:
    line = log(WAITS.format("iscsi-tools", condition))
    for base, waits in (("", before), (CRI, after)):
        verdict = read(base, line)
        assert (verdict.outcome is Outcome.SERVICE_WAITS) == waits
        assert ("services" in failed(verdict)) == waits


def test_why_a_service_waits_for_another_one_is_told() -> None:
    kubelet = "[talos] service[kubelet](Waiting): Waiting for time sync"
    verdict = read(CRI, log(kubelet, WAITS.format("late", 'service "kubelet" to be "up"')))
    assert failed(verdict)["services"] == ('ext-late: Waiting for service "kubelet" (which waits for time sync)',)


def test_services_that_wait_for_each_other_are_no_endless_search() -> None:
    a, b = WAITS.format("a", 'service "ext-b" to be "up"'), WAITS.format("b", 'service "ext-a" to be "up"')
    assert read(CRI, log(a, b)).outcome is Outcome.HANG


CRASH = "[talos] service[{}](Waiting): Error running {}, going to restart forever: {}"
RUNS = "[talos] service[{}](Running): Started task {} (PID 411) for container {}"


@pytest.mark.parametrize(
    ("name", "runner"),
    [
        ("ext-iscsid", "Containerd(ext-iscsid)"),
        ("ext-qemu-guest-agent", "Containerd(ext-qemu-guest-agent)"),
        ("cri", 'Process(["/bin/containerd" "--config" "/etc/cri/containerd.toml"])'),
        ("udevd", 'Process(["/sbin/systemd-udevd"])'),
        ("dns-resolve-cache", 'Goroutine("dns-resolve-cache")'),
    ],
)
def test_any_service_that_crashes_is_named(name: str, runner: str) -> None:
    verdict = read(log(CRASH.format(name, runner, "exit status 2"), RUNS.format(name, name, name)))
    assert verdict.outcome is Outcome.SERVICE_CRASHES
    assert failed(verdict)["crashes"] == (f"{name} crashed once and is restarted forever: exit status 2",)


def test_what_waits_for_a_service_that_crashes_is_no_cause() -> None:
    crash = CRASH.format("ext-a", "Containerd(ext-a)", "exit code 1")
    verdict = read(CRI, log(crash, WAITS.format("b", 'service "ext-a" to be "up"')))
    assert (verdict.outcome, set(failed(verdict))) == (Outcome.SERVICE_CRASHES, {"crashes"})


def test_a_service_that_ends_without_an_error_again_and_again_is_named_too() -> None:
    line = "[talos] service[ext-a](Waiting): Runner Containerd(ext-a) exited without error, going to restart it"
    verdict = read(log(line, line))
    assert failed(verdict)["crashes"] == ("ext-a crashed 2 times and is restarted: it ends without an error",)


@pytest.mark.parametrize(("after", "crashes"), [(5, True), (29, True), (31, False), (120, False)])
def test_a_service_that_runs_on_has_recovered(after: int, crashes: bool) -> None:
    lines = log(CRASH.format("ext-a", "Containerd(ext-a)", "exit code 1"), RUNS.format("ext-a", "ext-a", "ext-a"))
    verdict = read(lines, log("[talos] something else", start=31.0 + after))
    assert (verdict.outcome is Outcome.SERVICE_CRASHES) == crashes


def test_a_service_that_runs_for_longer_each_time_has_not_recovered_before_that() -> None:
    crash, runs = CRASH.format("ext-a", "Containerd(ext-a)", "exit code 1"), RUNS.format("ext-a", "ext-a", "ext-a")
    verdict = read(log(runs), log(crash, start=70.0), log(runs, start=80.0), log("[talos] other", start=180.0))
    assert verdict.outcome is Outcome.SERVICE_CRASHES


def test_a_service_that_succeeds_in_the_end_has_recovered() -> None:
    done = "[talos] service[ext-a](Finished): Service finished successfully"
    assert read(log(CRASH.format("ext-a", "Containerd(ext-a)", "exit code 1"), done)).outcome is Outcome.HANG


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("[talos] service[ext-a](Failed): Failed to run pre stage: no such file or directory", True),
        ('[talos] service[kubelet](Failed): Failed to run pre stage: failed to pull image "x"', False),
        ("[talos] service[kubelet](Failed): Failed running service: exit code 1", True),
    ],
)
def test_a_service_that_failed_for_good_is_named_but_for_one_that_only_lacks_a_network(line: str, named: bool) -> None:
    assert ("crashes" in failed(read(log(line)))) == named


READY = "[talos] machine is running and ready {}"


def test_a_service_that_crashes_keeps_a_machine_that_says_it_is_ready_from_being_up() -> None:
    crash, runs = CRASH.format("ext-a", "Containerd(ext-a)", "exit code 1"), RUNS.format("ext-a", "ext-a", "ext-a")
    reader = Reader(request(expected=Expectation()))
    for line in parse_log(HEAD + log(runs, crash, runs, READY)):
        reader.feed(line)
    assert not reader.decided
    reader.wait(60.0)
    assert not reader.decided
    reader.wait(63.0)
    assert reader.decided
    assert reader.verdict(Ending(End.DECIDED, 63.0)).outcome is Outcome.BOOTED


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
