"""What waits for another machine has an end: a registry or a git server that takes a connection and never answers.

BuildKit itself waits for ever. Here each vertex that fetches something is watched: when nothing was heard of one for
the limit, its host is asked from here; one that does not answer either ends what waits for it, with its name. One that
does answer gets more time, in which it has to deliver something.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from embedded.engine.errors import EngineError
from embedded.shown import shown

T = TypeVar("T")

VARIABLE = "COZYSTACK_TALOS_NETWORK_SECONDS"
DEFAULT_SECONDS = 60.0
PATIENCE = 10
"""How many limits long a host may be silent that answers when it is asked: git reports nothing while it packs."""
PUSHES_PATIENCE = 30
"""The same for a push: an exporter reports nothing while it compresses a large layer."""
LEAST_BYTES = 1 << 10
"""What has to come within a limit: who sends a byte now and then is silent, too."""
_FETCHES = re.compile(r"(?:(?:pull|fetch|push) |resolve image config for docker-image://)(\S+)")
_GIT = re.compile(r"fetch (\S+)")
_PUSHES = "push "


def network_seconds() -> float:
    """Return how long a host may be silent: COZYSTACK_TALOS_NETWORK_SECONDS, else a minute."""
    value = os.environ.get(VARIABLE, "")
    try:
        seconds = float(value) if value else DEFAULT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise EngineError(f"{VARIABLE} is {value!r}: give a number of seconds, for example 120")
    return seconds


def silent_error(host: str, seconds: float, what: str) -> EngineError:
    """Return the error for a host that did not answer in time."""
    return EngineError(
        f"{host} did not answer for {seconds:.0f} s ({shown(what)})",
        f"Check that it can be reached from here and try again; set {VARIABLE} to wait longer.",
    )


def host_of(name: str) -> str:
    """Return the host that a vertex of this name waits for: a registry, or a git server; empty where it is none."""
    found = _FETCHES.match(name)
    if not found:
        return ""
    rest = re.sub(r"^[a-z+]+://", "", found[1]).partition("/")[0]
    return rest.rpartition("@")[2]


@dataclass
class _Fetch:
    """A vertex that fetches something and runs."""

    name: str
    heard: float
    """When something was last heard of it, on a clock that nobody sets."""
    anywhere: bool = False
    """Whether what moves in any vertex counts for it."""


@dataclass(frozen=True)
class _Waiting:
    names: frozenset[str]
    failed: asyncio.Future[None]


class Silence:
    """Ends what waits for hosts that are silent."""

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        ask: Callable[[str, float], Coroutine[Any, Any, bool]] | None = None,
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._ask = ask or answers
        self._running: dict[str, _Fetch] = {}
        self._waiting: list[_Waiting] = []
        self._stands: dict[tuple[str, str], tuple[int, bool]] = {}
        """Where each download stood when it last counted as moving, and whether it had ended."""
        self._unpacking: set[tuple[str, str]] = set()
        self._reads = itertools.count()

    def note(self, response: Any) -> None:
        """Take one of BuildKit's reports: which vertices run, and what moves in them."""
        now = self._clock()
        for vertex in filter(lambda vertex: host_of(vertex.name), response.vertexes):
            if vertex.HasField("completed"):
                self._running.pop(vertex.digest, None)
            elif vertex.HasField("started"):
                self._running.setdefault(vertex.digest, _Fetch(vertex.name, now)).heard = now
        heard = {log.vertex for log in response.logs} | {one.vertex for one in response.statuses if self._moves(one)}
        for digest, seen in self._running.items():
            # What moves in a push, or in what is pulled when it is read, is reported of other vertices.
            if digest in heard or (heard and seen.anywhere):
                seen.heard = now
        for status in response.statuses:
            if status.ID.startswith("extracting"):
                layer = (status.vertex, status.ID)
                (self._unpacking.discard if status.HasField("completed") else self._unpacking.add)(layer)

    def _unpacks(self, digest: str, vertex: _Fetch) -> bool:
        """Tell whether layers are being unpacked for a vertex: that is the disk's work, not the network's."""
        return any(vertex.anywhere or owner == digest for owner, _ in self._unpacking)

    async def watch(self) -> None:
        """Look now and then, until cancelled."""
        asked: dict[str, float] = {}
        while True:
            await asyncio.sleep(min(1.0, self.seconds / 5))
            now = self._clock()
            for digest, vertex in list(self._running.items()):
                silent = now - vertex.heard
                if self._unpacks(digest, vertex) or silent < self.seconds:
                    asked.pop(digest, None)
                elif silent >= self.seconds * (PUSHES_PATIENCE if vertex.name.startswith(_PUSHES) else PATIENCE):
                    self._end(digest, vertex, silent)
                elif asked.get(digest) != vertex.heard:
                    asked[digest] = vertex.heard
                    if not await self._ask(vertex.name, self.seconds) and self._running.get(digest) is vertex:
                        self._end(digest, vertex, self._clock() - vertex.heard)

    def _end(self, digest: str, vertex: _Fetch, silent: float) -> None:
        self._running.pop(digest, None)
        error = silent_error(host_of(vertex.name), silent, vertex.name)
        for waiting in self._waiting:
            if vertex.name in waiting.names and not waiting.failed.done():
                waiting.failed.set_exception(error)

    def _moves(self, status: Any) -> bool:
        """Tell whether a status says something new: BuildKit repeats where a download stands."""
        current, completed = getattr(status, "current", 0), status.HasField("completed")
        key = (status.vertex, status.ID)
        before = self._stands.get(key)
        if before is not None and completed == before[1] and current < before[0] + LEAST_BYTES:
            return False
        self._stands[key] = (current, completed)
        return True

    @contextlib.contextmanager
    def reading(self, names: frozenset[str]) -> Generator[None]:
        """Watch what may be pulled while the block reads something of it."""
        keys = [f"read:{next(self._reads)}" for _ in names]
        for key, name in zip(keys, names, strict=True):
            self._running[key] = _Fetch(name, self._clock(), anywhere=True)
        try:
            yield
        finally:
            for key in keys:
                self._running.pop(key, None)

    @contextlib.contextmanager
    def pushing(self, reference: str) -> Generator[str]:
        """Watch a push while the block runs; gives the name under which it is to be awaited."""
        name = f"{_PUSHES}{reference}"
        self._running[name] = _Fetch(name, self._clock(), anywhere=True)
        try:
            yield name
        finally:
            self._running.pop(name, None)

    async def ended(self, names: frozenset[str], work: Awaitable[T]) -> T:
        """Await work that needs vertices of these names; raises EngineError when the host of one is silent."""
        if not any(map(host_of, names)):
            return await work
        waiting = _Waiting(names, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, waiting.failed}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                waiting.failed.result()
            return await task
        finally:
            self._waiting.remove(waiting)
            task.cancel()
            if waiting.failed.done():
                waiting.failed.exception()
            else:
                waiting.failed.cancel()

    async def limited(self, host: str, what: str, work: Awaitable[T]) -> T:
        """Await work that is short when its host answers; raises EngineError when it takes longer than the limit."""
        try:
            return await asyncio.wait_for(work, self.seconds)
        except TimeoutError:
            raise silent_error(host, self.seconds, what) from None


async def answers(name: str, seconds: float) -> bool:
    """Ask the host of a vertex; False only when it is there and says nothing for so long.

    Behind a proxy it can't be asked from here.
    """
    if any(os.environ.get(variable) for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")):
        return True
    with contextlib.suppress(OSError, ValueError):
        if git := _GIT.match(name):
            return await _git_answers(git[1], seconds)
        host, _, port = host_of(name).rpartition(":")
        return await _registry_answers(host or port, int(port) if host else 443, seconds)
    return True


async def _registry_answers(host: str, port: int, seconds: float) -> bool:
    """Greet it as a client of TLS does; one that speaks plain HTTP complains, and that is an answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), seconds)
    except TimeoutError:
        return False
    writer.close()
    return True


async def _git_answers(url: str, seconds: float) -> bool:
    process = await asyncio.create_subprocess_exec(
        *("git", "ls-remote", "--", url, "HEAD"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
    )
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return True
