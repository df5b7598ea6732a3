"""From the lines of a console to a verdict with its evidence."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ci.boot import console
from ci.boot.checks import Seen, checks, outcome
from ci.boot.model import BootVerdict, EnabledExtension, End, Ending, Outcome, Stage, StageTime, stages_of

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    from ci.boot.console import Line
    from ci.boot.model import BootRequest

#: Lines of the console that a failed boot's verdict shows.
TAIL = 40
#: Lines of one kind that are kept: a console can repeat itself for as long as it runs.
_MOST = 50


class Reader:
    """Reads a console line by line; the verdict can be had at any time."""

    def __init__(self, request: BootRequest) -> None:
        self._request = request
        self._reached: dict[Stage, float] = {}
        self._extensions: list[EnabledExtension] = []
        self._found: dict[re.Pattern[str], list[str]] = {}
        self._version: str | None = None
        self._services: dict[str, tuple[str, str]] = {}
        self._maintenance = False
        self._fatal = False
        self._tail: deque[str] = deque(maxlen=TAIL)

    @property
    def decided(self) -> bool:
        """Whether the machine is up, or can't come up any more."""
        return self._fatal or Stage.READY in self._reached

    @property
    def stage(self) -> Stage | None:
        """The last stage that was reached."""
        return max(self._reached, key=list(Stage).index, default=None)

    def feed(self, line: Line) -> Stage | None:
        """Take the next line; returns the stage that it reaches, if it does."""
        if line.text.strip():
            self._tail.append(line.text)
        message = line.message
        if match := console.ENABLED.match(message):
            self._extensions.append(
                EnabledExtension(name=match["name"], version=match["version"], seconds=line.seconds)
            )
        if match := console.VERSION.match(message):
            self._version = match["version"]
        if match := console.SERVICE.match(message):
            self._services[match["name"]] = (match["state"], match["message"])
        self._maintenance = self._maintenance or bool(console.MAINTENANCE.match(message))
        for sign in console.BAD_SIGNS:
            if sign.search(message):
                lines = self._found.setdefault(sign, [])
                if len(lines) < _MOST:
                    lines.append(line.text)
        self._fatal = self._fatal or any(sign.search(message) for sign in console.FATAL)
        return self._reach(message, line.seconds)

    def _reach(self, message: str, seconds: float) -> Stage | None:
        for stage, sign in console.STAGES.items():
            if stage not in self._reached and sign.search(message) and not self._is_corrupt(stage):
                self._reached[stage] = seconds
                return stage
        return None

    def _is_corrupt(self, stage: Stage) -> bool:
        # The kernel frees the memory of an initramfs that it could not unpack, too.
        return stage is Stage.INITRAMFS and console.INITRAMFS_CORRUPT in self._found

    def verdict(self, ending: Ending) -> BootVerdict:
        """Judge what was read."""
        request = self._request
        seen = Seen(
            request=request,
            ending=ending,
            reached=frozenset(self._reached),
            extensions=tuple(self._extensions),
            version=self._version,
            waiting={name: why for name, (state, why) in self._services.items() if state == console.WAITING},
            maintenance=self._maintenance,
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
        )
        return verdict if verdict.ok else verdict.model_copy(update={"tail": tuple(self._tail)})


def read_boot(lines: Iterable[Line], request: BootRequest, ending: Ending | None = None) -> BootVerdict:
    """Judge a whole log; without an ending it ends with its last line."""
    reader, seconds = Reader(request), 0.0
    for line in lines:
        reader.feed(line)
        seconds = line.seconds
    end = End.DECIDED if reader.decided else End.FILE
    return reader.verdict(ending or Ending(end, seconds))
