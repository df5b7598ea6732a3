"""Consoles of machined's lines, for the tests of what is read from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.boot.console import parse_log
from ci.boot.reader import read_boot
from ci.plan.expectation import Expectation
from tests.unit.boot.requests import request

if TYPE_CHECKING:
    from ci.boot.model import BootVerdict, Ending

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


WAITS = "[talos] service[ext-{}](Waiting): Waiting for {}"
CRASH = "[talos] service[{}](Waiting): Error running {}, going to restart forever: {}"
RUNS = "[talos] service[{}](Running): Started task {} (PID 411) for container {}"
READY = "[talos] machine is running and ready {}"
