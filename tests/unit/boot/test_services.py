"""What is read from machined's lines on services, in other cases than the recorded ones."""

from __future__ import annotations

import pytest

from ci.boot.console import parse_log
from ci.boot.model import End, Ending, Outcome
from ci.boot.reader import Reader
from ci.boot.services import parse_conditions, parse_words
from ci.plan.expectation import Expectation
from tests.unit.boot.machined_lines import CRASH, CRI, HEAD, READY, RUNS, WAITS, failed, log, read
from tests.unit.boot.requests import request


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
