"""From the lines of a console to a verdict with its evidence."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ci.boot import console
from ci.boot.checks import Seen, checks, outcome
from ci.boot.machined import Sequences, Volumes
from ci.boot.model import (
    TOO_LONG,
    UNFINISHED,
    BootVerdict,
    EnabledExtension,
    End,
    Ending,
    Outcome,
    Stage,
    StageTime,
    stages_of,
)
from ci.boot.services import Services

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    from ci.boot.console import Line
    from ci.boot.model import BootRequest

#: Lines of the console that a failed boot's verdict shows.
TAIL = 40
#: Lines of one kind that are kept: a console can repeat itself for as long as it runs.
_MOST = 50
#: Seconds for which cri and all services of extensions run before a configured machine counts as up.
SERVICES_STEADY = 10.0
#: The same where the console names no service of an extension: they start before cri, but a console can lose lines.
NO_SERVICES_STEADY = 60.0


class Reader:
    """Read a console line by line; the verdict can be had at any time."""

    def __init__(self, request: BootRequest) -> None:
        self._request = request
        self._reached: dict[Stage, float] = {}
        self._extensions: list[EnabledExtension] = []
        self._found: dict[re.Pattern[str], list[str]] = {}
        self._version: str | None = None
        self._services = Services()
        self._sequences = Sequences()
        self._volumes = Volumes()
        self._maintenance = False
        self._configured = False
        self._fatal = False
        self._seconds = 0.0
        #: All progress so far, and when the last of it came.
        self._news: set[tuple[str, ...]] = set()
        self.progress = 0.0
        self._tail: deque[str] = deque(maxlen=TAIL)

    @property
    def decided(self) -> bool:
        """Whether the machine is up, or can't come up any more."""
        if self._fatal or self._sequences.ended or (self._maintenance and self._request.machine_config):
            return True
        return Stage.READY in self._reached and not self._services.unsettled(self._seconds)

    @property
    def stage(self) -> Stage | None:
        """The last stage that was reached."""
        return max(self._reached, key=list(Stage).index, default=None)

    def feed(self, line: Line) -> Stage | None:
        """Take the next line; return the stage that it reaches, if it reaches one."""
        if line.text.strip():
            self._tail.append(line.text)
        reached: Stage | None = None
        for message, whole in line.messages:
            reached = self._take(message, line, whole=whole) or reached
        return self.wait(line.seconds) or reached

    def _take(self, message: str, line: Line, *, whole: bool) -> Stage | None:
        if match := console.ENABLED.match(message):
            self._extensions.append(
                EnabledExtension(name=match["name"], version=match["version"], seconds=line.seconds)
            )
        if message.startswith(console.INITRAMFS):
            self._new(("init", message), line.seconds)
        if match := console.VERSION.match(message):
            self._version = match["version"]
        self._maintenance = self._maintenance or bool(console.MAINTENANCE.match(message))
        self._configured = self._configured or bool(console.CONFIGURED.match(message))
        for news in (
            self._services.feed(message, line.seconds, whole=whole),
            self._sequences.feed(message),
            self._volumes.feed(message),
        ):
            self._new(news, line.seconds)
        for sign in console.BAD_SIGNS:
            if sign.search(message):
                lines = self._found.setdefault(sign, [])
                if len(lines) < _MOST:
                    lines.append(line.text)
        self._fatal = self._fatal or any(sign.search(message) for sign in console.FATAL)
        return self._reach(message, line.seconds)

    def _new(self, news: tuple[str, ...] | None, seconds: float) -> None:
        if news and news not in self._news:
            self._news.add(news)
            self.progress = seconds

    def wait(self, seconds: float) -> Stage | None:
        """Take note of the time; return the stage that is reached because nothing failed for a while."""
        self._seconds = max(self._seconds, seconds)
        up = self._services.up_since(self._seconds)
        steady = SERVICES_STEADY if self._services.has_extensions else NO_SERVICES_STEADY
        if Stage.READY in self._reached or up is None or self._seconds - up < steady:
            return None
        self._reached[Stage.READY] = up
        return Stage.READY

    def _reach(self, message: str, seconds: float) -> Stage | None:
        if self._request.cloud and Stage.READY not in self._reached and console.ASKS_CLOUD.match(message):
            self._reached[Stage.READY] = self.progress = seconds
            return Stage.READY
        for stage, sign in console.STAGES.items():
            if stage not in self._reached and sign.search(message) and not self._is_out_of_place(stage, message):
                self._reached[stage] = seconds
                self.progress = seconds
                return stage
        return None

    def _is_out_of_place(self, stage: Stage, message: str) -> bool:
        # The kernel frees the memory of an initramfs that it could not unpack, too.
        if stage is Stage.INITRAMFS:
            return console.INITRAMFS_CORRUPT in self._found
        # A machine that was given a configuration is not up in maintenance.
        return stage is Stage.READY and bool(self._request.machine_config and console.MAINTENANCE.match(message))

    def verdict(self, ending: Ending) -> BootVerdict:
        """Judge what was read."""
        request = self._request
        seen = Seen(
            request=request,
            ending=ending,
            reached=frozenset(self._reached),
            extensions=tuple(self._extensions),
            version=self._version,
            now=max(self._seconds, ending.seconds if ending.end is not End.FILE else 0.0),
            services=self._services,
            sequences=self._sequences,
            volumes=self._volumes,
            maintenance=self._maintenance,
            configured=self._configured,
            found=self._found,
        )
        result = outcome(seen)
        seconds = self._reached[Stage.READY] if result is Outcome.BOOTED else ending.seconds
        verdict = BootVerdict(
            variant=request.variant,
            arch=request.arch,
            way=request.way,
            outcome=result,
            seconds=round(seconds, 3),
            machine=ending.machine,
            stages=tuple(StageTime(stage=one, seconds=self._reached.get(one)) for one in stages_of(request.way)),
            extensions=tuple(self._extensions),
            checks=checks(seen),
            stand_in=bool(request.expected.stand_in),
            sentence=_HANGS.get(ending.end, "") if result is Outcome.HANG else "",
        )
        return verdict if verdict.ok else verdict.model_copy(update={"tail": tuple(self._tail)})


_HANGS = {End.FILE: UNFINISHED, End.DECIDED: UNFINISHED, End.LIMIT: TOO_LONG}


def read_boot(lines: Iterable[Line], request: BootRequest, ending: Ending | None = None) -> BootVerdict:
    """Judge a whole log; without an ending it ends with its last line."""
    reader, seconds = Reader(request), 0.0
    for line in lines:
        reader.feed(line)
        seconds = line.seconds
    end = End.DECIDED if reader.decided else End.FILE
    return reader.verdict(ending or Ending(end, seconds))
