"""Requests and logs for the tests of booting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ci.boot.console import Line, parse_log
from ci.boot.model import BootRequest
from ci.boot.ways import Way
from ci.plan.expectation import Expectation, ExpectedExtension

LOGS = Path(__file__).parent / "logs"
#: Whole consoles of Talos's own init and machined.
CONSOLES = Path(__file__).parent / "consoles"
EXTENSIONS = (("drbd", "9.3.2-v1.13.6"), ("zfs", "2.4.3-v1.13.6"), ("spin", "v0.25.1"))


def request(way: Way = Way.KERNEL, **changed: Any) -> BootRequest:
    """A request to boot arm64 assets with three extensions."""
    expected = Expectation(
        arch=changed.get("arch", "arm64"),
        talos="v1.13.6",
        variant="spin-only",
        extensions=tuple(ExpectedExtension(name=name, version=version) for name, version in EXTENSIONS),
    )
    files = {
        Way.KERNEL: {"kernel": "boot/vmlinuz", "initramfs": "boot/initramfs.xz"},
        Way.UKI: {"uki": "uki/metal-arm64-uki.efi"},
        Way.ISO: {"iso": "iso/metal-arm64.iso"},
        Way.METAL: {"metal": "metal/metal-arm64.raw"},
    }.get(way, {})
    given: dict[str, Any] = {"arch": "arm64", "cmdline": "talos.platform=metal" if way is Way.KERNEL else "", **changed}
    return BootRequest(way=way, variant="spin-only", expected=given.pop("expected", expected), files=files, **given)


def log(name: str) -> str:
    """The text of a recorded log."""
    return (LOGS / f"{name}.log").read_text()


def console(name: str) -> str:
    """The text of a whole console of Talos, with the line ends that a serial port has."""
    return (CONSOLES / f"{name}.log").read_bytes().decode()


def lines(name: str, *, without: str = "", and_then: str = "") -> list[Line]:
    """The lines of a recorded log, without those that hold a word, and with further ones."""
    text = "".join(line for line in log(name).splitlines(keepends=True) if not without or without not in line)
    return list(parse_log(text + and_then))
