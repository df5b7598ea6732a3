"""A module's processes: one that the fork server gives is as one that was started, and leaves as little behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from embedded.engine import server
from embedded.engine.api.context import Engine
from embedded.engine.errors import EngineError
from embedded.engine.events import StepEvent
from embedded.engine.life import commands
from embedded.engine.module import forkserver, forkservers
from embedded.engine.module.calls import Call, Runner
from embedded.engine.module.processes import Launcher
from embedded.engine.session import Session
from embedded.setup.paths import paths
from embedded.tests.life.harness import alive, children, processes, until

MODULE = Path(__file__).parent / "sample.py"
IDLE = 60.0


class Answerer(Session):
    """A session's API alone: functions that use no container need no BuildKit."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("real", Path.cwd(), None, False, lambda _: None)
        self._engine = engine

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncGenerator[None]:
        listener = server.Server(self, self._listening)
        serving = asyncio.create_task(listener.answer_until_stopped())
        try:
            yield
        finally:
            listener.end()
            await asyncio.gather(serving, return_exceptions=True)


@dataclass
class Module:
    """A module without an environment of its own: the engine's has the SDK."""

    cache: Path
    copy: Path
    session: Answerer
    python: Path = Path(sys.executable)
    events: list[StepEvent] = field(default_factory=list[StepEvent])

    @contextlib.asynccontextmanager
    async def runner(self, idle_seconds: float = IDLE) -> AsyncGenerator[Runner]:
        """One call of the command line, as far as its module's processes go."""
        names = ("sample", "Sample")
        launcher = Launcher(self.cache, self.python, self.copy, names, self.session.port, idle_seconds)
        runner = Runner(launcher, self.session.tokens, self.events.append)
        try:
            yield runner
        finally:
            await runner.close()

    async def call(self, function: str, idle_seconds: float = IDLE, **args: object) -> Any:
        """Have a function called."""
        given = tuple((key, json.dumps(value)) for key, value in args.items())
        async with self.runner(idle_seconds) as runner:
            return await runner.run(Call("Sample", function, "{}", given))

    def servers(self) -> list[int]:
        """The fork servers that live."""
        return [pid for one in forkservers.servers(self.cache) if (pid := one.pid)]

    def marked(self, name: str) -> bool:
        return any((one.folder / name).exists() for one in forkservers.servers(self.cache))


@pytest.fixture
async def module(tmp_path: Path) -> AsyncIterator[Module]:
    (tmp_path / "copy/source").mkdir(parents=True)
    shutil.copy(MODULE, tmp_path / "copy/source/main.py")
    engine = cast("Engine", Engine(None, None, "linux/amd64", tmp_path, tmp_path, None))  # type: ignore[arg-type]
    session = Answerer(engine)
    try:
        async with session.answering():
            yield Module(tmp_path / "cache", tmp_path / "copy", session)
    finally:
        forkservers.stop_all(tmp_path / "cache")


THREADS = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"


def environment(folder: Path, name: str, code: str) -> Path:
    """Make an environment with a file of its own, beside all that the engine's has; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "engines.pth").write_text(sysconfig.get_path("purelib"))
    (packages / name).write_text(code)
    return folder / "bin/python"


async def eventually(what: Callable[[], object], seconds: float = 15) -> None:
    await asyncio.to_thread(until, what, seconds)


async def test_a_forked_process_is_as_one_that_was_started(module: Module) -> None:
    forked = json.loads(await module.call("describe"))
    started = json.loads(await module.call("describe", idle_seconds=0))

    assert len(module.servers()) == 1
    assert forked.pop("parent") == module.servers()[0]
    assert started.pop("parent") == os.getpid()
    assert forked.pop("token") != started.pop("token")
    forked["descriptors"]["pipe"] -= 1  # by which the server learns what is imported
    assert forked == started


async def test_the_modules_code_runs_anew_in_each_call(module: Module) -> None:
    first, second = json.loads(await module.call("count")), json.loads(await module.call("count"))

    assert first["count"] == second["count"] == 1
    assert first["pid"] != second["pid"]
    assert first["born"] != second["born"], "the module's code was not run again"
    assert first["random"] != second["random"]
    assert second["leaked"] == ""
    assert len(module.servers()) == 1


async def test_one_server_serves_many_calls_at_once(module: Module) -> None:
    async with module.runner() as runner:
        runner.prepare(2)
        answers = await asyncio.gather(*(runner.run(Call("Sample", "count", "{}")) for _ in range(5)))

    assert len({json.loads(answer)["pid"] for answer in answers}) == 5
    assert len(module.servers()) == 1


async def test_output_and_exit_code_come_through(module: Module) -> None:
    with pytest.raises(EngineError, match="ended with exit code 3 and gave no answer:\nout\nerr"):
        await module.call("leave", code=3)
    with pytest.raises(EngineError, match=r"was killed \(SIGKILL\) and gave no answer"):
        await module.call("leave", code=-9)
    assert "out" in "".join(event.log for event in module.events if event.immediate)


async def test_an_errors_traceback_is_a_detail(module: Module) -> None:
    with pytest.raises(EngineError, match="FunctionError: it failed"):
        await module.call("fail")

    told = "".join(event.log for event in module.events if not event.detail)
    details = "".join(event.log for event in module.events if event.detail)
    assert told == "before it fails\n"
    assert 'raise RuntimeError("it failed")' in details


async def test_a_process_ends_with_its_session_and_takes_along_what_it_started(module: Module) -> None:
    seconds = f"7{time.time_ns() % 10**6:06}.25"
    async with module.runner() as runner:
        call = asyncio.create_task(runner.run(Call("Sample", "wait", "{}", (("seconds", json.dumps(seconds)),))))
        await eventually(lambda: processes(f"sleep {seconds}"))
        began = time.monotonic()
    with pytest.raises(EngineError):
        await call
    assert not processes(f"sleep {seconds}")
    assert time.monotonic() - began < 2


async def test_a_process_ends_when_the_connection_does(module: Module) -> None:
    seconds = f"7{time.time_ns() % 10**6:06}.75"
    async with module.runner() as runner:
        call = asyncio.create_task(runner.run(Call("Sample", "wait", "{}", (("seconds", json.dumps(seconds)),))))
        await eventually(lambda: processes(f"sleep {seconds}"))
        (slot,) = runner._slots
        slot.process.connection.shutdown(2)  # type: ignore[union-attr]  as the kernel does it for a killed client
        await eventually(lambda: not processes(f"sleep {seconds}"), 2)
    with pytest.raises(EngineError):
        await call


async def test_a_killed_server_takes_its_processes_along_and_the_next_call_has_a_new_one(module: Module) -> None:
    async with module.runner() as runner:
        call = asyncio.create_task(runner.run(Call("Sample", "idle", "{}")))
        await eventually(lambda: module.servers() and children(module.servers()[0]))
        (pid,) = module.servers()
        forked = children(pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"was killed \(SIGKILL\) and gave no answer"):
            await call
        # The kernel ends them with their parent, a moment after it.
        await eventually(lambda: not alive(forked))
    assert json.loads(await module.call("count"))["count"] == 1
    assert module.servers() != [pid]


async def test_libraries_that_calls_import_are_there_for_the_next_and_the_modules_code_is_not(module: Module) -> None:
    assert await module.call("has", name="sched") is False
    await module.call("bring", name="sched")
    await asyncio.sleep(2 * forkserver.CALM_SECONDS)

    assert await module.call("has", name="sched") is True
    assert json.loads(await module.call("count"))["count"] == 1


async def test_a_library_that_starts_threads_is_not_imported_ahead(module: Module, tmp_path: Path) -> None:
    module.python = environment(tmp_path / "environment", "threads_ahead.py", THREADS)
    await module.call("bring", name="threads_ahead")
    await eventually(lambda: not module.servers(), 5)
    assert module.marked(forkserver.SDK_ONLY)

    assert await module.call("has", name="sched") is False
    await module.call("bring", name="sched")
    await asyncio.sleep(2 * forkserver.CALM_SECONDS)
    assert await module.call("has", name="sched") is False
    assert len(module.servers()) == 1


async def test_an_sdk_that_starts_threads_is_not_forked(module: Module, tmp_path: Path) -> None:
    module.python = environment(tmp_path / "environment", "threads.pth", THREADS)
    assert json.loads(await module.call("count"))["count"] == 1
    assert module.marked(forkserver.UNFIT)
    assert module.servers() == []


async def test_an_idle_server_goes(module: Module) -> None:
    await module.call("count", idle_seconds=1.5)
    assert module.servers()
    await eventually(lambda: not module.servers(), 5)
    assert await module.call("count", idle_seconds=1.5)


async def test_who_wants_nothing_to_stay_gets_no_server(module: Module) -> None:
    await module.call("count", idle_seconds=0)
    assert module.servers() == []


async def test_a_server_goes_with_its_module(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    await module.call("count")
    (pid,) = module.servers()
    shutil.rmtree(module.copy)
    os.kill(pid, signal.SIGCHLD)  # it would look in half a minute
    await eventually(lambda: not module.servers(), 5)


async def test_another_copy_and_another_kind_of_caller_have_servers_of_their_own(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    await module.call("count")
    other = Module(module.cache, module.copy.with_name("changed"), module.session)
    shutil.copytree(module.copy, other.copy)
    await other.call("count")
    assert len(module.servers()) == 2
    monkeypatch.setenv("LANG", "C.UTF-8" if os.environ.get("LANG") != "C.UTF-8" else "C")
    await module.call("count")
    assert len(module.servers()) == 3


async def test_servers_are_few(module: Module) -> None:
    pids: list[int] = []
    for number in range(forkservers.LIMIT + 2):
        other = Module(module.cache, module.copy.with_name(f"copy-{number}"), module.session)
        shutil.copytree(module.copy, other.copy)
        await other.call("count")
        pids += [pid for pid in module.servers() if pid not in pids]
    await eventually(lambda: len(module.servers()) <= forkservers.LIMIT, 5)
    assert sorted(module.servers()) == sorted(pids[-forkservers.LIMIT :])


async def test_stopping_ends_servers_and_what_they_forked(module: Module) -> None:
    async with module.runner() as runner:
        call = asyncio.create_task(runner.run(Call("Sample", "idle", "{}")))
        await eventually(lambda: module.servers() and children(module.servers()[0]))
        forked = children(module.servers()[0])
        assert await asyncio.to_thread(forkservers.stop_all, module.cache) == 1
        assert not alive(forked)
        with pytest.raises(EngineError):
            await call
    assert forkservers.stop_all(module.cache) == 0


async def test_upkeep_shows_ends_and_forgets_servers(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "paths", lambda: replace(paths(), cache=module.cache))
    console = Console(file=io.StringIO(), width=200, highlight=False)
    await module.call("count")
    (pid,) = module.servers()

    commands.status(console)
    commands.stop_all(console)
    commands.stop_all(console)
    commands.status(console)
    commands.prune(console)

    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert f"kept ready for modules' functions: process {pid}\n" in said
    assert "stopped: modules' processes\nnothing was running\n" in said
    assert "kept ready for modules' functions: nothing\n" in said
    assert list(forkservers.servers(module.cache)) == []


async def test_where_nothing_can_be_forked_processes_are_started(module: Module) -> None:
    await module.call("count")
    (folder,) = (one.folder for one in forkservers.servers(module.cache))
    forkservers.stop_all(module.cache)
    (folder / forkserver.UNFIT).touch()

    assert json.loads(await module.call("count"))["count"] == 1
    assert module.servers() == []
