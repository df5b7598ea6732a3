"""A whole boot with a stand-in for QEMU: a script that writes a console and ends in some way."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from ci.boot import run
from ci.boot.model import BootRequest, BootVerdict, Outcome
from ci.boot.run import run_boot
from ci.boot.ways import Way
from ci.common.errors import BootError
from ci.steps import boot as program
from tests.unit.boot.requests import log, request

if TYPE_CHECKING:
    from collections.abc import Callable

TALOS = log("talos-v1.13.6-arm64")
VERSION = 'if [ "$1" = --version ]; then echo "QEMU emulator version 10.0.2 (Debian 1:10.0.2)"; exit 0; fi\n'


def pe(machine: int = 0xAA64) -> bytes:
    """The head of a PE file: what is looked at before a kernel is started."""
    head = bytearray(512)
    head[:2] = b"MZ"
    head[0x3C:0x40] = (64).to_bytes(4, "little")
    head[64:68] = b"PE\0\0"
    head[68:70] = machine.to_bytes(2, "little")
    head[64 + 20 : 64 + 22] = (0xF0).to_bytes(2, "little")  # size of the optional header
    head[64 + 24 : 64 + 26] = (0x20B).to_bytes(2, "little")  # PE32+
    return bytes(head)


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """A folder with a kernel that looks like one, and an initramfs."""
    folder = tmp_path / "assets"
    (folder / "boot").mkdir(parents=True)
    (folder / "boot/vmlinuz").write_bytes(pe())
    (folder / "boot/initramfs.xz").write_bytes(b"initramfs")
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a script in QEMU's place; its console is in $LOG."""
    (tmp_path / "console.log").write_text(TALOS)
    monkeypatch.setenv("LOG", str(tmp_path / "console.log"))
    monkeypatch.setattr(run, "SETTLE", 0.2)

    def write(script: str) -> Path:
        bin_ = tmp_path / "bin"
        bin_.mkdir()
        file = bin_ / "qemu-system-aarch64"
        file.write_text(f"#!/bin/sh\n{VERSION}{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
        return file

    return write


def is_gone(process: int) -> bool:
    """Whether a process ends within some seconds; one that nobody waited for has ended too."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


class Boot:
    """A boot that has ended: its verdict, and what was shown of it."""

    def __init__(self) -> None:
        self.log = io.StringIO()
        self.shown: list[tuple[float, str]] = []
        self.seconds = 0.0

    async def run(self, wanted: BootRequest, assets: Path, work: Path) -> BootVerdict:
        began = time.monotonic()

        def say(line: str) -> None:
            self.shown.append((time.monotonic() - began, line))

        verdict = await run_boot(wanted, assets, work, self.log, say, make_kvm=False)
        self.seconds = time.monotonic() - began
        return verdict


async def test_a_boot_is_ended_when_the_machine_is_up(qemu: Callable[[str], Path], assets: Path, work: Path) -> None:
    qemu('cat "$LOG"; exec sleep 600')
    boot = Boot()
    verdict = await boot.run(request(), assets, work)
    assert verdict.outcome is Outcome.BOOTED
    assert verdict.machine == "QEMU 10.0.2, software emulation"
    assert boot.seconds < 60
    written = [line[11:] for line in boot.log.getvalue().splitlines()]
    assert written == [line.replace("\t", "\t").rstrip() for line in TALOS.splitlines()]


async def test_lines_are_shown_and_written_while_the_machine_runs(
    qemu: Callable[[str], Path], assets: Path, work: Path
) -> None:
    qemu('head -n 3 "$LOG"; sleep 1; tail -n +4 "$LOG"; exec sleep 600')
    boot = Boot()
    await boot.run(request(), assets, work)
    times = {line[11:].split("] ", 1)[-1]: when for when, line in boot.shown}
    assert times["Unpacking initramfs..."] - times[TALOS.splitlines()[2].split("] ", 1)[1]] > 0.9
    assert any(line.endswith("---- machine is up") for _, line in boot.shown)


async def test_the_deadline_ends_a_machine_that_hangs_with_all_that_it_started(
    qemu: Callable[[str], Path], assets: Path, work: Path, tmp_path: Path
) -> None:
    left = tmp_path / "child"
    qemu(f'sleep 600 & echo $! > {left}; head -n 10 "$LOG"; printf "login: "; wait')
    boot = Boot()
    verdict = await boot.run(request(deadline=2), assets, work)
    assert verdict.outcome is Outcome.HANG
    assert 2 <= verdict.seconds < 20
    assert verdict.tail[-2:] == (TALOS.splitlines()[9].rstrip(), "login:")
    assert await anyio.to_thread.run_sync(is_gone, int(left.read_text()))


async def test_progress_begins_the_deadline_anew(qemu: Callable[[str], Path], assets: Path, work: Path) -> None:
    qemu(
        'while IFS= read -r line; do echo "$line"; case $line in *talos*) sleep 0.3;; esac; done < "$LOG"; '
        "exec sleep 600"
    )
    boot = Boot()
    verdict = await boot.run(request(deadline=2), assets, work)
    assert verdict.outcome is Outcome.BOOTED
    assert boot.seconds > 4


async def test_the_whole_has_a_limit_whatever_the_progress(
    qemu: Callable[[str], Path], assets: Path, work: Path
) -> None:
    script = (
        'head -n 24 "$LOG"; n=0; while :; do n=$((n+1)); '
        'echo "[    5.000000] [talos] task wait$n (1/1): starting"; sleep 0.2; done'
    )
    qemu(script)
    boot = Boot()
    verdict = await boot.run(request(deadline=1), assets, work)
    assert verdict.outcome is Outcome.HANG
    assert 6 <= verdict.seconds < 12
    (ready,) = (one for one in verdict.checks if one.id == "boot.ready")
    assert ready.evidence[0].startswith("limit of 6 s for the whole boot: the last stage reached is: ")
    assert "went on until then" in verdict.sentence


async def test_what_says_the_same_again_and_again_makes_no_progress(
    qemu: Callable[[str], Path], assets: Path, work: Path
) -> None:
    qemu('head -n 26 "$LOG"; while :; do echo "[    5.000000] [talos] task a (1/1): waiting"; sleep 0.1; done')
    boot = Boot()
    verdict = await boot.run(request(deadline=2), assets, work)
    assert verdict.outcome is Outcome.HANG
    assert 2 <= verdict.seconds < 8
    (ready,) = (one for one in verdict.checks if one.id == "boot.ready")
    assert ready.evidence[0].startswith("deadline of 2 s: ")
    assert "task a (1/1): waiting" in ready.evidence[1]


async def test_a_failure_is_told_without_waiting_for_the_deadline(
    qemu: Callable[[str], Path], assets: Path, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "console.log").write_text(log("talos-no-init"))
    qemu('cat "$LOG"; exec sleep 600')
    boot = Boot()
    verdict = await boot.run(request(), assets, work)
    assert verdict.outcome is Outcome.ROOT_MISSING
    assert boot.seconds < 60


@pytest.mark.parametrize(
    ("script", "outcome", "words"),
    [
        ("echo 'qemu: no such device' >&2; exit 1", Outcome.QEMU_CRASHED, ["exit code 1", "qemu: no such device"]),
        ("kill -SEGV $$", Outcome.QEMU_CRASHED, ["signal 11"]),
        ('head -n 12 "$LOG"; exit 0', Outcome.STOPPED, ["stopped or restarted", "init runs"]),
        ('head -n 12 "$LOG"; kill -ABRT $$', Outcome.QEMU_CRASHED, ["signal 6", "init runs"]),
    ],
)
async def test_how_qemu_ends_is_told(
    script: str, outcome: Outcome, words: list[str], qemu: Callable[[str], Path], assets: Path, work: Path
) -> None:
    qemu(script)
    verdict = await Boot().run(request(), assets, work)
    assert verdict.outcome is outcome
    evidence = "\n".join(verdict.checks[-1].evidence)
    assert [word for word in words if word not in evidence] == []


async def test_a_machine_without_qemu_is_told_what_to_install(
    assets: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = await Boot().run(request(), assets, work)
    assert verdict.outcome is Outcome.QEMU_MISSING
    assert verdict.checks[0].evidence == (
        "qemu-system-aarch64 is not installed: it is in the Debian package qemu-system-arm",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pe(0x8664), "boot/vmlinuz is for amd64, the machine is arm64"),
        (b"no kernel at all" * 64, "boot/vmlinuz is not a program that firmware can start"),
    ],
)
async def test_a_kernel_that_the_machine_cannot_run_is_not_tried(
    content: bytes, words: str, qemu: Callable[[str], Path], assets: Path, work: Path
) -> None:
    qemu("touch started; exit 1")
    (assets / "boot/vmlinuz").write_bytes(content)
    verdict = await Boot().run(request(), assets, work)
    assert verdict.outcome is Outcome.FOREIGN_KERNEL
    assert words in verdict.checks[0].evidence[0]


async def test_a_file_that_is_not_there_is_an_error(qemu: Callable[[str], Path], assets: Path, work: Path) -> None:
    qemu("exit 1")
    with pytest.raises(BootError, match=r"^iso/metal-arm64\.iso is not among the assets$"):
        await Boot().run(request(Way.ISO), assets, work)


async def test_a_console_that_never_ends_fills_no_disk(
    qemu: Callable[[str], Path], assets: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_LOG", 10_000)
    qemu("yes 'the same again'")
    boot = Boot()
    verdict = await boot.run(request(deadline=1), assets, work)
    assert verdict.outcome is Outcome.HANG
    assert 9_000 < len(boot.log.getvalue()) <= 10_000


# The program


def run_program(tmp_path: Path, assets: Path, wanted: BootRequest) -> int:
    (tmp_path / "request.json").write_text(wanted.model_dump_json())
    given = ["--request", str(tmp_path / "request.json"), "--assets", str(assets), "--out", str(tmp_path / "out")]
    return program.main(["run", *given])


def test_the_program_writes_log_verdict_and_timeline(
    qemu: Callable[[str], Path], assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qemu('cat "$LOG"; exec sleep 600')
    assert run_program(tmp_path, assets, request()) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        f"boot-kernel.{end}" for end in ("json", "log", "svg", "txt")
    ]
    assert json.loads((out / "boot-kernel.json").read_text())["outcome"] == "booted"
    assert (out / "boot-kernel.svg").read_text().startswith("<svg ")
    shown = capsys.readouterr().out
    assert shown.endswith((out / "boot-kernel.txt").read_text())
    assert "entering maintenance service" in shown


def test_the_program_ends_with_one_for_a_boot_that_failed_and_with_two_for_one_that_was_not_tried(
    qemu: Callable[[str], Path], assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qemu("exit 3")
    assert run_program(tmp_path, assets, request()) == 1
    assert (tmp_path / "out/boot-kernel.json").exists()
    (assets / "boot/vmlinuz").unlink()
    assert run_program(tmp_path, assets, request()) == 2
    assert capsys.readouterr().err == "error: boot/vmlinuz is not among the assets\n"


def test_the_log_of_a_boot_anywhere_can_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "request.json").write_text(request().model_dump_json())
    (tmp_path / "board.log").write_text(TALOS)
    given = ["--request", str(tmp_path / "request.json"), "--log", str(tmp_path / "board.log")]
    assert program.main(["read", *given]) == 0
    (tmp_path / "board.log").write_text(log("talos-v1.11.6-no-root"))
    assert program.main(["read", *given]) == 1
    assert "root-missing" in capsys.readouterr().out


def test_a_request_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "request.json").write_text("{}")
    assert program.main(["read", "--request", str(tmp_path / "request.json"), "--log", "x"]) == 2
    assert "request.json" in capsys.readouterr().err
