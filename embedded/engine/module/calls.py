"""Calls into a module: one process a call, run as the module's SDK runs it, in a clean environment.

Any process can do any call: so some are started ahead, each with a token of its own, and wait in
`currentFunctionCall` until there is a call for them.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from embedded.engine.api.context import Engine
from embedded.engine.api.registry import resolver
from embedded.engine.api.values import Named
from embedded.engine.errors import EngineError, FunctionFailedError
from embedded.engine.events import StepEvent
from embedded.engine.module.processes import Launcher, ModuleProcess, kill

LAST_LINES = 40
LAST_CHARACTERS = 16 << 10
OUTPUT_SECONDS = 1.0
"""How long output is awaited after a process has ended: another that it started may hold it open."""
STEP_PREFIX = "function:"
ANNOUNCEMENTS = ("Unhandled exception while executing function\n", "API error while executing function\n")
"""With these lines the SDK begins to log the traceback of a function's error, which it also reports."""


@dataclass(frozen=True)
class ErrorReport:
    """`dag.error(…)`: what a function says when it fails."""

    TYPE: ClassVar[str] = "Error"
    message: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Call:
    """What a process is to do. An empty parent name asks for the module's types."""

    parent_name: str = ""
    name: str = ""
    parent: str = "null"
    args: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        return f"{self.parent_name}.{self.name}" if self.name else self.parent_name or "types of the module"


@dataclass
class Slot:
    """One process, the call that it got, and what came of it."""

    TYPE: ClassVar[str] = "FunctionCall"
    token: str
    assigned: asyncio.Future[Call]
    result: asyncio.Future[str]
    process: ModuleProcess | None = None
    said: str = ""
    """The end of what it printed."""
    life: asyncio.Task[None] = field(init=False)


class Runner:
    """Starts processes of one module's environment and gives them calls."""

    def __init__(self, launcher: Launcher, tokens: dict[str, Any], on_step: Callable[[StepEvent], None]) -> None:
        self._launcher = launcher
        self._tokens = tokens
        self._on_step = on_step
        self._idle: deque[Slot] = deque()
        self._slots: list[Slot] = []

    def prepare(self, count: int) -> None:
        """Start processes ahead of their calls."""
        for _ in range(count):
            self._idle.append(self._start())

    def _start(self) -> Slot:
        loop = asyncio.get_running_loop()
        slot = Slot(secrets.token_hex(16), loop.create_future(), loop.create_future())
        self._tokens[slot.token] = slot
        self._slots.append(slot)
        slot.life = asyncio.create_task(self._live(slot))
        return slot

    async def _live(self, slot: Slot) -> None:
        """Start a slot's process and follow it to its end."""
        try:
            process = slot.process = await self._launcher.launch(slot.token)
        except OSError as error:
            cause = EngineError(f"the function's process can't be started: {error}")
        else:
            streams = ((process.stdout, False), (process.stderr, True))
            readers = [asyncio.create_task(self._read(slot, stream, logged)) for stream, logged in streams]
            code = await process.wait()
            await asyncio.wait(readers, timeout=OUTPUT_SECONDS)
            cause = EngineError(_no_answer(code, slot.said))
        if not slot.result.done():
            slot.result.set_exception(cause)
            slot.result.exception()  # it is an error of whoever waits, if anyone does

    async def _read(self, slot: Slot, stream: asyncio.StreamReader, logged: bool) -> None:
        """Pass on what a process prints; what the SDK has `logged` from an error's traceback on is a detail."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        detail = False
        while data := await stream.read(64 << 10):
            text = decoder.decode(data)
            slot.said = (slot.said + text)[-LAST_CHARACTERS:]
            if not slot.assigned.done():
                continue
            if logged and not detail:
                begin = min((text.find(line) for line in ANNOUNCEMENTS if line in text), default=len(text))
                self._report(slot, text[:begin], False)
                detail, text = begin < len(text), text[begin:]
            self._report(slot, text, detail)

    def _report(self, slot: Slot, text: str, detail: bool) -> None:
        if text:
            self._on_step(StepEvent(id=STEP_PREFIX + slot.token, log=text, immediate=True, detail=detail))

    async def run(self, call: Call) -> Any:
        """Have a call done; the value that the function returned."""
        slot = self._idle.popleft() if self._idle else self._start()
        step = STEP_PREFIX + slot.token
        started = time.time()
        self._on_step(StepEvent(id=step, name=call.title, started=started))
        slot.assigned.set_result(call)
        try:
            value = json.loads(await slot.result)
        except EngineError as error:
            self._on_step(StepEvent(id=step, name=call.title, started=started, completed=time.time(), error=str(error)))
            raise
        self._on_step(StepEvent(id=step, name=call.title, started=started, completed=time.time()))
        return value

    async def close(self) -> None:
        """End the processes; those that wait for a call get an error instead."""
        for slot in self._slots:
            if not slot.assigned.done():
                slot.assigned.set_exception(EngineError("the session is over"))
                slot.assigned.exception()
            if slot.process is None:
                slot.life.cancel()
            else:
                kill(slot.process, ended=slot.life.done())
        if self._slots:
            await asyncio.wait([slot.life for slot in self._slots], timeout=2 * OUTPUT_SECONDS)


def _no_answer(code: int, said: str) -> str:
    ended = f"ended with exit code {code} and" if code >= 0 else f"was killed ({signal.Signals(-code).name}) and"
    last = "\n".join(said.splitlines()[-LAST_LINES:])
    return f"the function's process {ended} gave no answer" + (f":\n{last}" if last else "")


# --- what a process asks ------------------------------------------------------------------------------------------


@resolver("Query", "currentFunctionCall")
async def current_function_call(caller: object, engine: Engine) -> Slot:
    if isinstance(caller, Slot):
        return caller
    raise EngineError("there is no function call here: currentFunctionCall is for a module's own process")


@resolver("FunctionCall", "parentName")
async def parent_name(self: Slot, engine: Engine) -> str:
    return (await asyncio.shield(self.assigned)).parent_name


@resolver("FunctionCall", "name")
async def name(self: Slot, engine: Engine) -> str:
    return (await asyncio.shield(self.assigned)).name


@resolver("FunctionCall", "parent")
async def parent(self: Slot, engine: Engine) -> str:
    return (await asyncio.shield(self.assigned)).parent


@resolver("FunctionCall", "inputArgs")
async def input_args(self: Slot, engine: Engine) -> list[Named]:
    call = await asyncio.shield(self.assigned)
    return [Named("FunctionCallArgValue", (("name", key), ("value", value))) for key, value in call.args]


@resolver("FunctionCall", "returnValue")
async def return_value(self: Slot, engine: Engine, value: str) -> None:
    if not self.result.done():
        self.result.set_result(value)


@resolver("FunctionCall", "returnError")
async def return_error(self: Slot, engine: Engine, error: str) -> None:
    report = engine.load(error, ErrorReport)
    values = {key: json.loads(value) for key, value in report.values}
    if not self.result.done():
        self.result.set_exception(FunctionFailedError(report.message, values if "_type" in values else None))
        self.result.exception()


@resolver("Query", "error")
async def error(_: object, engine: Engine, message: str) -> ErrorReport:
    return ErrorReport(message)


@resolver("Error", "withValue")
async def with_value(self: ErrorReport, engine: Engine, name: str, value: str) -> ErrorReport:
    return ErrorReport(self.message, (*self.values, (name, value)))


@resolver("Error", "message")
async def message(self: ErrorReport, engine: Engine) -> str:
    return self.message


@resolver("Error", "values")
async def values(self: ErrorReport, engine: Engine) -> list[Named]:
    return [Named("ErrorValue", (("name", key), ("value", value))) for key, value in self.values]
