"""Runs one boot: QEMU from its start to the verdict, or to a deadline. Nothing that was started outlives it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from ci.boot import kvm, machine
from ci.boot.console import Line, Splitter
from ci.boot.matchbox import matchbox
from ci.boot.media import ForeignKernelError, prepare
from ci.boot.model import STAGE_TITLES, End, Ending
from ci.boot.process import ended, started
from ci.boot.reader import Reader
from ci.boot.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.boot.model import BootRequest, BootVerdict, Stage

#: Seconds for which the console is read on when the outcome is known: a panic has more lines than its first.
SETTLE = 2.0
#: Bytes of a log; of a console that never ends no more is written.
MOST_LOG = 32 << 20
_CHUNK = 1 << 16
#: Seconds after which a silent console is looked at again: a machine can be up because nothing more happens.
_LOOK = 1.0
_MOST_SAID = 20
#: Seconds for which a QEMU that has closed its console may go on.
_ENDING = 10


@dataclass
class Recorder:
    """Take a console's lines: to the reader, to the log file, and to whoever watches."""

    reader: Reader
    log: TextIO
    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    _written: int = 0

    @property
    def seconds(self) -> float:
        """Since QEMU was started."""
        return time.monotonic() - self.began

    def take(self, text: str, *, whole: bool = True) -> None:
        """Take a line; of one that is cut off, what there is of it."""
        line = Line(self.seconds, text, whole=whole)
        self.write(line)
        self._mark(self.reader.feed(line), line.seconds)

    def wait(self) -> None:
        """Take note that nothing came for a while."""
        self._mark(self.reader.wait(self.seconds), self.seconds)

    def _mark(self, stage: Stage | None, seconds: float) -> None:
        if stage:
            self.say(f"{seconds:9.3f}  ---- {STAGE_TITLES[stage]}")

    def write(self, line: Line) -> None:
        """Keep a line without reading it."""
        rendered = line.render()
        self.say(rendered)
        self._written += len(rendered) + 1
        if self._written <= MOST_LOG:
            self.log.write(rendered + "\n")
            self.log.flush()


async def run_boot(
    request: BootRequest, assets: Path, work: Path, log: TextIO, say: Callable[[str], None], *, make_kvm: bool
) -> BootVerdict:
    """Boot, and judge what the console says.

    Args:
        request: what to boot, and what is expected.
        assets: the folder that the request's files are in.
        work: an empty folder for what has to be made ready.
        log: the console's lines are written there as they come.
        say: gets every line, and a mark where a stage is reached.
        make_kvm: make /dev/kvm where it is not there; for a privileged container.

    Raises `BootError` where nothing can be tried: a file is missing.
    """
    reader = Reader(request)
    try:
        version = await _version(request)
    except FileNotFoundError:
        row = machine.MACHINES[request.arch]
        said = (f"{row.program} is not installed: it is in the Debian package {row.packages[0]}",)
        return reader.verdict(Ending(End.NO_QEMU, 0.0, said=said))
    try:
        media = prepare(request, assets, work)
    except ForeignKernelError as error:
        return reader.verdict(Ending(End.FOREIGN_KERNEL, 0.0, version, said=(str(error),)))
    fast = kvm.usable(request.arch, make=make_kvm)
    command = machine.qemu(request, media, kvm=fast)
    say(" ".join(command))
    recorder = Recorder(reader, log, say)
    if request.way is Way.NETBOOT:
        async with matchbox(request, assets, lambda text: recorder.write(Line(recorder.seconds, text))):
            ending = await _run(command, request, recorder)
    else:
        ending = await _run(command, request, recorder)
    how = "KVM" if fast and not any("falling back to tcg" in line for line in ending.said) else "software emulation"
    return reader.verdict(Ending(ending.end, ending.seconds, f"{version}, {how}", code=ending.code, said=ending.said))


async def _version(request: BootRequest) -> str:
    process = await asyncio.create_subprocess_exec(
        *machine.version_command(request.arch), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    words = output.decode(errors="replace").split()
    return f"QEMU {words[words.index('version') + 1]}" if "version" in words[:-1] else "QEMU"


async def _run(command: list[str], request: BootRequest, recorder: Recorder) -> Ending:
    async with started(command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        recorder.began = time.monotonic()
        said: list[str] = []
        errors = asyncio.create_task(_collect(process.stderr, said))
        end = await _read(process.stdout, request, recorder)
        seconds = recorder.seconds
        if end is End.EXITED:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(process.wait(), errors), _ENDING)
        await ended(errors)
        code = process.returncode if end is End.EXITED else None
    return Ending(end, seconds, code=code, said=tuple(said))


async def _read(stdout: asyncio.StreamReader, request: BootRequest, recorder: Recorder) -> End:
    """Read a console until the outcome is known, a deadline is there, or it ends.

    The deadline is for what comes without progress: each stage begins it anew, and so does whatever else is new.
    """
    splitter, decided = Splitter(), None
    while True:
        until, end = _until(request, recorder, decided)
        # A console that is never silent never lets a read time out.
        if recorder.seconds >= until:
            break
        try:
            data = await asyncio.wait_for(stdout.read(_CHUNK), min(until - recorder.seconds, _LOOK))
        except TimeoutError:
            recorder.wait()
        else:
            for line in splitter.feed(data):
                recorder.take(line)
            if not data:
                for line in splitter.rest():
                    recorder.take(line, whole=False)
                return End.DECIDED if recorder.reader.decided else End.EXITED
        decided = (decided or recorder.seconds) if recorder.reader.decided else None
    for line in splitter.rest():
        recorder.take(line, whole=False)
    return End.DECIDED if recorder.reader.decided else end


def _until(request: BootRequest, recorder: Recorder, decided: float | None) -> tuple[float, End]:
    """Return when to stop reading, and why."""
    stalled = recorder.reader.progress + request.deadline
    until, end = (stalled, End.DEADLINE) if stalled < request.limit else (float(request.limit), End.LIMIT)
    return (until, end) if decided is None else (min(until, decided + SETTLE), End.DECIDED)


async def _collect(stream: asyncio.StreamReader, into: list[str]) -> None:
    while line := await stream.readline():
        into.append(line.decode(errors="replace").rstrip())
        del into[:-_MOST_SAID]
