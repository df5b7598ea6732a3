"""Consoles of Talos's own init and machined (v1.13.6, arm64, in QEMU): whole, and cut where somebody stops to wait."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import pytest

from ci.boot.console import parse_log
from ci.boot.model import BootVerdict, End, Ending, Outcome, Stage
from ci.boot.reader import Reader, read_boot
from ci.boot.render import render_verdict
from ci.plan.expectation import Expectation
from tests.unit.boot.requests import console, request

ALL = (
    "maintenance",
    "config-no-extension-config",
    "ipv6-route-loops",
    "state-cannot-be-formatted",
    "kspp-argument-missing",
    "extension-truncated",
)
Problems: TypeAlias = dict[str, tuple[str, ...]]
Case: TypeAlias = tuple[str, float, Outcome, Problems]
NONE: Problems = {}
NOTHING_YET = (Outcome.HANG, NONE)
ZFS = 'Waiting for file "/dev/zfs" to exist'
CONFIG = "Waiting for extension service config"


def read(text: str, **changed: Any) -> BootVerdict:
    return read_boot(parse_log(text), request(expected=Expectation(), **changed))


def cut(name: str, seconds: float) -> str:
    """The console until some time."""
    kept: list[str] = []
    for line in console(name).splitlines(keepends=True):
        if (time := re.match(r"\[ *(\d+\.\d+)\]", line)) and float(time[1]) > seconds:
            break
        kept.append(line)
    return "".join(kept)


def failed(verdict: BootVerdict) -> dict[str, tuple[str, ...]]:
    """The checks that failed, but for that it came up, with their evidence."""
    checks = {one.id.removeprefix("boot."): one.evidence for one in verdict.checks if one.status == "fail"}
    checks.pop("ready", None)
    return checks


ZFS_WORDS = "  STAND-IN: this is not zfs-service 2.4.3 but what the cozystack-talos lab has in its place"


def crash(times: str) -> tuple[str, ...]:
    how = f"ext-zfs-service crashed {times} and is restarted until it succeeds"
    return (f'{how}: task "ext-zfs-service" failed: exit code 1', "its last words:", ZFS_WORDS)


FORMAT = (
    "volume STATE: error formatting XFS: exit status 1: Unable to open config file "
    "/usr/share/xfsprogs/mkfs/lts_6.18.conf. Aborting."
)
LOCK = "volume STATE: error locking disk: context deadline exceeded"
KSPP = (
    (
        "initialize sequence, phase systemRequirements (1/9), task enforceKSPPRequirements (1/1): failed: "
        "2 errors occurred:"
    ),
    "* KSPP kernel parameter slab_nomerge is required",
    "* KSPP kernel parameter pti is required",
)
TRUNCATED = (
    "[   18.278871] [talos] [initramfs] recovered from: early boot failed: openfs failed: "
    "failed to create root filesystem: FSCONFIG_CMD_CREATE failed: invalid argument"
)
WAIT_BOTH: Problems = {"services": (f"ext-tailscale: {CONFIG}", f"ext-zfs-service: {ZFS}")}
WAIT_ONE: Problems = {"services": (f"ext-tailscale: {CONFIG}",)}


CASES: list[Case] = [
    *(("maintenance", seconds, *NOTHING_YET) for seconds in (3, 21.07, 22.2, 25.6, 46, 60, 74.2)),
    *(("maintenance", seconds, Outcome.BOOTED, NONE) for seconds in (74.9, 80, 1000)),
    *(("config-no-extension-config", seconds, *NOTHING_YET) for seconds in (22.5, 60, 82, 105.4, 112.2)),
    *(("config-no-extension-config", seconds, Outcome.SERVICE_WAITS, WAIT_BOTH) for seconds in (119.6, 150, 191)),
    ("config-no-extension-config", 192.6, Outcome.SERVICE_WAITS, WAIT_ONE),
    *(
        ("config-no-extension-config", seconds, Outcome.SERVICE_CRASHES, {**WAIT_ONE, "crashes": crash(times)})
        for seconds, times in (
            (215.5, "once"),
            (236, "once"),
            (241.1, "2 times"),
            (252.2, "2 times"),
            (289.4, "3 times"),
            (1000, "4 times"),
        )
    ),
    *(("ipv6-route-loops", seconds, *NOTHING_YET) for seconds in (20, 60, 95, 131.9)),
    *(
        ("ipv6-route-loops", seconds, Outcome.SERVICE_WAITS, {"services": (f"ext-zfs-service: {ZFS}",)})
        for seconds in (132.1, 142.9, 158.8)
    ),
    *(("state-cannot-be-formatted", seconds, *NOTHING_YET) for seconds in (20, 60, 77)),
    ("state-cannot-be-formatted", 78, Outcome.VOLUME_FAILED, {"volumes": (FORMAT,)}),
    *(
        ("state-cannot-be-formatted", seconds, Outcome.VOLUME_FAILED, {"volumes": (FORMAT, LOCK)})
        for seconds in (89.1, 104.3, 1000)
    ),
    *(("kspp-argument-missing", seconds, *NOTHING_YET) for seconds in (60, 130, 157, 164)),
    *(
        ("kspp-argument-missing", seconds, Outcome.SEQUENCE_FAILED, {"sequences": KSPP})
        for seconds in (165.12, 165.2, 200, 1000)
    ),
    *(("extension-truncated", seconds, *NOTHING_YET) for seconds in (5, 17.6)),
    *(
        ("extension-truncated", seconds, Outcome.ROOT_MISSING, {"root": (TRUNCATED,), "panic": (TRUNCATED,)})
        for seconds in (18.3, 20, 1000)
    ),
]


@pytest.mark.parametrize(("name", "seconds", "outcome", "problems"), CASES)
def test_what_a_console_shows_is_told_wherever_it_is_cut(
    name: str, seconds: float, outcome: Outcome, problems: Problems
) -> None:
    verdict = read(cut(name, seconds))
    assert (verdict.outcome, failed(verdict)) == (outcome, problems)


@pytest.mark.parametrize(
    ("seconds", "times"), [(163.7, "once"), (178.2, "once"), (182.7, "2 times"), (1000, "3 times")]
)
def test_a_service_that_crashes_in_a_loop_is_named_with_its_last_words_whatever_the_last_line_is(
    seconds: float, times: str
) -> None:
    verdict = read(cut("ipv6-route-loops", seconds))
    assert verdict.outcome is Outcome.SERVICE_CRASHES
    first, _, words, *_ = failed(verdict)["crashes"]
    assert first == f'ext-tailscale crashed {times} and is restarted forever: task "ext-tailscale" failed: exit code 1'
    assert re.fullmatch(
        r"  boot: 2026/11/28 19:0\d:\d\d Failed to enable IP forwarding: "
        r'enabling "/proc/sys/net/ipv6/conf/all/forwarding": '
        r"open /proc/sys/net/ipv6/conf/all/forwarding: read-only file system",
        words,
    )
    assert "ext-tailscale crashed" in render_verdict(verdict)


def test_an_unfinished_boot_says_so_with_what_the_machine_was_doing() -> None:
    verdict = read(cut("maintenance", 60))
    (ready,) = (one for one in verdict.checks if one.id == "boot.ready")
    assert ready.evidence[:2] == (
        "the last stage reached is: machine starts",
        (
            "it was doing: initialize sequence, phase earlyServices (2/9): "
            'task startUdevd (1/6): mounting "" to "/usr/lib/udev"'
        ),
    )
    assert "it had not finished yet" in render_verdict(verdict).splitlines()[0]
    (services,) = (one for one in verdict.checks if one.id == "boot.services")
    assert (services.status, services.evidence[0].partition(": ")[2]) == (
        "skip",
        "ext-tailscale, ext-zfs-service wait for services of the base, or for the network",
    )


@pytest.mark.parametrize("name", ALL)
def test_line_ends_make_no_difference(name: str) -> None:
    text = console(name)
    assert "\r\n" in text
    assert read(text.replace("\r\n", "\n")) == read(text)


@pytest.mark.parametrize("name", ALL)
def test_wherever_the_bytes_are_cut_nothing_is_claimed_that_the_lines_before_do_not_say(name: str) -> None:
    """Of the outcomes there are, only those come that come when whole lines are read too."""
    text = console(name)
    start = text.index("Run /init")
    lines = [at for at in range(start, len(text)) if text[at] == "\n"]
    interesting = [
        at for at in lines if re.search(r"service\[ext-|volume status|failed|\* |recovered", text[at + 1 : at + 300])
    ]
    for at in interesting[:: max(1, len(interesting) // 4)]:
        line = text.index("\n", at + 1)
        allowed = {(one.outcome, *sorted(failed(one))) for one in (read(text[: at + 1]), read(text[: line + 1]))}
        for end in range(at + 2, line, 97):
            verdict = read(text[:end])
            assert (verdict.outcome, *sorted(failed(verdict))) in allowed, text[at + 1 : end]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("kspp-argument-missing", 165.3), ("extension-truncated", 18.3), ("maintenance", 75.0)],
)
def test_what_is_certain_ends_the_wait(name: str, seconds: float) -> None:
    reader = Reader(request(expected=Expectation()))
    for line in parse_log(console(name)):
        reader.feed(line)
        if reader.decided:
            assert line.seconds <= seconds
            return
    pytest.fail("nothing was decided")


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("maintenance", 75.3),
        ("config-no-extension-config", 211.5),
        ("ipv6-route-loops", 220.1),
        ("state-cannot-be-formatted", 138.6),
        ("kspp-argument-missing", 165.3),
    ],
)
def test_lines_that_come_again_and_again_are_no_progress(name: str, last: float) -> None:
    reader = Reader(request(expected=Expectation()))
    for line in parse_log(cut(name, 90 if name == "maintenance" else 1000)):
        reader.feed(line)
    assert reader.progress == pytest.approx(last, abs=0.2)


def test_the_deadline_names_the_stage_and_what_the_machine_was_doing() -> None:
    lines = list(parse_log(cut("state-cannot-be-formatted", 76)))
    for ending, words in ((End.DEADLINE, "deadline of 300 s"), (End.LIMIT, "limit of 1800 s for the whole boot")):
        verdict = read_boot(lines, request(expected=Expectation()), Ending(ending, 400.0))
        (ready,) = (one for one in verdict.checks if one.id == "boot.ready")
        assert ready.evidence[:2] == (
            f"{words}: the last stage reached is: machine starts",
            "it was doing: boot sequence, phase diskSizeCheck (2/9): task diskSizeCheck (1/1): starting",
        )


@pytest.mark.parametrize("name", ALL)
def test_a_console_in_which_everything_stands_twice_says_the_same(name: str) -> None:
    """Two consoles on one port: each line comes twice. Extensions are then counted twice, which no plan is held to."""
    text = "".join(line * 2 for line in console(name).splitlines(keepends=True))
    twice, once = read(text), read(console(name))
    assert (twice.outcome, set(failed(twice))) == (once.outcome, set(failed(once)))
    assert [one.seconds for one in twice.stages] == [one.seconds for one in once.stages]
    assert twice.stages[-1].stage is Stage.READY
