"""What BuildKit may ask of its client during a solve: folders, secrets, credentials, OCI layouts, places to write.

The `session-helper` (a Go program on BuildKit's own `session` package) answers it; this is its controller. One line of
JSON goes to its standard input for each thing offered, so that no secret ever stands in an argument or the environment.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from embedded.engine.errors import EngineError
from embedded.shown import shown

START_SECONDS = 20
ANSWER_SECONDS = 20
LONGEST_LINE = 4 << 20
"""Bytes of a line of the helper's: its errors hold what registries and file systems said."""
KEPT_WORDS = 16 << 10
"""Bytes kept of what it says on standard error."""


def _answer(line: bytes) -> dict[str, Any]:
    """Read a line of the helper's; what is none counts as its error."""
    with contextlib.suppress(ValueError):
        answer: Any = json.loads(line)
        if isinstance(answer, dict):
            return cast("dict[str, Any]", answer)
    return {"error": line.decode(errors="replace").strip()}


class Attachables:
    """The session of one call, open between `start` and `close`."""

    def __init__(self, program: Path, address: str, state: Path) -> None:
        self._program = program
        self._address = address
        self._state = state
        self._last = ""
        """The helper's last word on its standard output."""
        self._words = b""
        """The end of what it said on its standard error: Go's own complaint about a crash, say."""
        self._process: asyncio.subprocess.Process | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._number = 0
        self._exports = asyncio.Lock()
        self.id = ""

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            str(self._program),
            *("--addr", self._address, "--state", str(self._state)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the command line, which ends this one in order
            limit=LONGEST_LINE,
        )
        assert self._process.stdout is not None
        self._listener = asyncio.create_task(self._listen())
        line = b""
        with contextlib.suppress(asyncio.TimeoutError, ValueError):  # the latter for a line without an end
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        answer = _answer(line)
        if not isinstance(answer.get("id"), str):
            cause = shown(str(answer.get("error") or await self._complaint()))
            raise EngineError(f"the BuildKit engine at {self._address} does not open a session: {cause}")
        self.id = answer["id"]
        self._reader = asyncio.create_task(self._read())

    async def _listen(self) -> None:
        """Keep the end of what the helper says on standard error, which would stop it when nobody read it."""
        assert self._process is not None
        assert self._process.stderr is not None
        while words := await self._process.stderr.read(KEPT_WORDS):
            self._words = (self._words + words)[-KEPT_WORDS:]

    async def _complaint(self) -> str:
        assert self._process is not None
        assert self._listener is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.wait([self._listener], timeout=1)
        return self._said() or f"the session helper did not answer for {START_SECONDS} s"

    def _said(self) -> str:
        """Return what the helper said on standard error: the line that begins a crash of Go's, else the last one."""
        lines = [line.strip() for line in self._words.decode(errors="replace").split("\n") if line.strip()]
        crash = [line for line in lines if line.startswith(("panic:", "fatal error:"))]
        return (crash[:1] or lines[-1:] or [""])[0]

    async def close(self) -> None:
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 1)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        tasks = [task for task in (self._reader, self._listener) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                answer = _answer(line)
                if waiting := self._answers.pop(answer.get("n", -1), None):
                    if not waiting.done():
                        waiting.set_result(answer)
                elif answer.get("error"):  # its last word: the session is over
                    self._last = str(answer["error"])
        except ValueError:
            self._last = f"the session helper answers with more than {LONGEST_LINE} bytes"
        if not self._last and self._listener is not None:
            await asyncio.wait([self._listener], timeout=1)
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_result({"error": self._ending()})

    @property
    def end(self) -> str:
        """The helper's last words where the session is over before its time, else nothing."""
        return self._ending() if self._reader is not None and self._reader.done() else ""

    def _ending(self) -> str:
        return shown(self._last or self._said() or "the session ended")

    async def _request(self, op: str, **fields: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        if self._reader is None or self._reader.done():
            raise EngineError(f"the session of the BuildKit engine refused {op}: {self._ending()}")
        try:
            self._process.stdin.write(json.dumps({"n": self._number, "op": op, **fields}).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            await asyncio.gather(self._reader, return_exceptions=True)  # it takes what the helper said at last
        try:
            error = (await asyncio.wait_for(answer, ANSWER_SECONDS)).get("error")
        except TimeoutError:
            error = f"the session helper did not answer for {ANSWER_SECONDS} s"
        if error:
            raise EngineError(f"the session of the BuildKit engine refused {op}: {shown(str(error))}")

    async def offer_folder(self, name: str, path: Path) -> None:
        """Answer for the source `local://NAME`."""
        await self._request("dir", name=name, path=str(path))

    async def offer_secret(self, secret_id: str, value: bytes) -> None:
        await self._request("secret", id=secret_id, value=base64.b64encode(value).decode())

    async def offer_credentials(self, host: str, username: str, password: bytes) -> None:
        await self._request("auth", host=host, username=username, password=base64.b64encode(password).decode())

    async def offer_layout(self, name: str, path: Path) -> None:
        """Answer for sources `oci-layout://…` whose attribute `oci.store` is NAME."""
        await self._request("store", name=name, path=str(path))

    async def offer_socket(self, socket_id: str, address: str) -> None:
        """Lead ssh mounts of an id to a TCP address (host:port) of this machine."""
        await self._request("socket", id=socket_id, address=address)

    @contextlib.asynccontextmanager
    async def target(self, *, folder: Path | None = None, file: Path | None = None) -> AsyncGenerator[None]:
        """Where the one export that runs inside this context writes. Exports wait for each other."""
        async with self._exports:
            place = {"dir": str(folder)} if folder else {"file": str(file)}
            await self._request("target", index=0, **place)
            yield
