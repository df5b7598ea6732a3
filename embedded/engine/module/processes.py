"""A module's processes, each for one call: forked by a fork server, or where that can't be, started anew."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from embedded.engine.children import ended_with_parent
from embedded.engine.module.forkservers import CannotForkError, Forkserver, server_for, starting

ENTRY = "import sys; from dagger.mod.cli import app; sys.exit(app())"
KEPT = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""All that a process gets of the caller's environment."""
ATTEMPTS = 3
ANSWER_BYTES = 4096


class ModuleProcess(Protocol):
    """A process that runs the module's SDK."""

    @property
    def pid(self) -> int:
        """Its process id, and that of the group of all that it starts."""
        ...

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What it prints."""
        ...

    @property
    def stderr(self) -> asyncio.StreamReader:
        """What it prints beside that."""
        ...

    async def wait(self) -> int:
        """Wait for its end; returns the exit code, the negative number of a signal that killed it."""
        ...


def kill(process: ModuleProcess, *, ended: bool) -> None:
    """End a process with what it started itself, which may live on when it has `ended`."""
    ways = (os.killpg,) if ended else (os.killpg, os.kill)  # a forked one may not have become a leader yet
    for way in ways:
        with contextlib.suppress(ProcessLookupError):
            way(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class _Started:
    """A process of this one's own."""

    process: asyncio.subprocess.Process
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait(self) -> int:
        return await self.process.wait()


@dataclass(frozen=True)
class _Forked:
    """A fork server's process; it lives no longer than the connection."""

    connection: socket.socket
    pid: int
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    async def wait(self) -> int:
        with self.connection:
            with contextlib.suppress(OSError, ValueError, KeyError):
                answer = await asyncio.get_running_loop().sock_recv(self.connection, ANSWER_BYTES)
                return int(json.loads(answer)["code"])
            return -signal.SIGKILL  # the server was killed, and with it all that it had forked


class Launcher:
    """Starts processes of one module."""

    def __init__(
        self, cache: Path, python: Path, copy: Path, names: tuple[str, str], port: int, idle_seconds: float
    ) -> None:
        self._cache = cache
        self._python = python
        self._module = copy
        self._work = copy / "work"
        self._port = port
        self._idle_seconds = idle_seconds
        source = copy / "source"
        name, main_object = names
        self._env = {name: os.environ[name] for name in KEPT if name in os.environ} | {
            "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._work),
            "PYTHONPATH": f"{source}:{source / 'src'}",
            "PYTHONUNBUFFERED": "1",
            "DAGGER_MODULE": name,
            "DAGGER_MAIN_OBJECT": main_object,
            "OTEL_SDK_DISABLED": "true",
        }

    async def launch(self, token: str) -> ModuleProcess:
        """Start a process; what it does in the session it does with this token."""
        self._work.mkdir(parents=True, exist_ok=True)
        env = self._env | {"DAGGER_SESSION_PORT": str(self._port), "DAGGER_SESSION_TOKEN": token}
        if self._idle_seconds > 0:  # who wants nothing to stay gets nothing that stays
            for _ in range(ATTEMPTS):  # one that is just ending takes a connection and gives no answer
                with contextlib.suppress(CannotForkError, OSError):
                    return await self._fork(env)
        return await self._start(env)

    async def _start(self, env: Mapping[str, str]) -> ModuleProcess:
        process = await asyncio.create_subprocess_exec(
            str(self._python),
            "-c",
            ENTRY,
            cwd=self._work,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=ended_with_parent(signal.SIGKILL),
        )
        assert process.stdout is not None
        assert process.stderr is not None
        return _Started(process, process.stdout, process.stderr)

    async def _fork(self, env: Mapping[str, str]) -> ModuleProcess:
        request = json.dumps({"env": env, "cwd": str(self._work)}).encode()
        async with contextlib.AsyncExitStack() as undo:
            connection = undo.enter_context(self._connect())
            ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
            try:
                readers = [await _reader(number) for number in ours]
                socket.send_fds(connection, [request], list(theirs))
            finally:
                for number in theirs:
                    os.close(number)
            for _, transport in readers:
                undo.callback(transport.close)
            connection.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(connection, ANSWER_BYTES)
            if not answer:
                raise ConnectionError
            undo.pop_all()
            stdout, stderr = (reader for reader, _ in readers)
            return _Forked(connection, int(json.loads(answer)["pid"]), stdout, stderr)

    def _connect(self) -> socket.socket:
        server = self._server
        with contextlib.suppress(OSError):
            return server.connect()
        with starting(self._cache):
            with contextlib.suppress(OSError):
                return server.connect()
            server.folder.mkdir(exist_ok=True, mode=0o700)
            server.start(self._python, self._module, self._env, self._work, self._idle_seconds)
            return server.connect()

    @cached_property
    def _server(self) -> Forkserver:
        return server_for(self._cache, self._python, self._module, self._env)


async def _reader(number: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A stream of what comes through a pipe, whose end this takes over."""
    reader = asyncio.StreamReader()
    pipe: Any = os.fdopen(number, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    return reader, transport
