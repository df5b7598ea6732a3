"""Where machines run without emulation."""

from __future__ import annotations

import fcntl
import os
import platform
import stat
from typing import TYPE_CHECKING

import pytest

from ci.boot import kvm
from ci.common.arch import Arch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of /dev/kvm, on an arm64 host."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    return tmp_path / "kvm"


def answer(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    def ioctl(_descriptor: int, request: int) -> int:
        assert request == 0xAE00
        return version

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


def test_a_device_that_answers_is_used_for_guests_of_the_hosts_kind(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.touch()
    answer(monkeypatch, 12)
    assert kvm.usable(Arch.ARM64, device, make=False)
    assert not kvm.usable(Arch.AMD64, device, make=False)


def test_a_file_that_only_has_the_name_is_not(device: Path) -> None:
    assert not kvm.usable(Arch.ARM64, device, make=False)
    device.touch()
    assert not kvm.usable(Arch.ARM64, device, make=False)


def test_another_version_is_not(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device.touch()
    answer(monkeypatch, 11)
    assert not kvm.usable(Arch.ARM64, device, make=False)


def test_the_device_is_made_only_when_it_is_asked_for_and_missing(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, ...]] = []

    def mknod(*arguments: object) -> None:
        made.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "mknod", mknod)
    assert not kvm.usable(Arch.ARM64, device, make=False)
    assert made == []
    assert not kvm.usable(Arch.ARM64, device, make=True)
    assert made == [(device, stat.S_IFCHR | 0o600, os.makedev(10, 232))]
    device.touch()
    kvm.usable(Arch.ARM64, device, make=True)
    assert len(made) == 1
