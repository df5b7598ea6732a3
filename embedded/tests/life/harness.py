"""Drives BuildKit without any image: what runs in the containers comes from the machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.engine.life.place import MODES, Place
from embedded.engine.protos import pb
from embedded.setup.paths import EMBEDDED, Paths, tool

HOLD = """
import sys, time
from dataclasses import replace
from pathlib import Path
from embedded.engine.errors import EngineError
from embedded.engine.life import lease
from embedded.setup.paths import paths
try:
    with lease(replace(paths(), cache=Path(sys.argv[1])), sys.argv[2]) as held:
        print(held.address, flush=True)
        sys.stdin.read()
except EngineError as error:
    print(error)
"""


def until(what: Callable[[], object], seconds: float = 15) -> None:
    """Wait until something is true; fail when it does not become so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def processes(text: str) -> list[int]:
    """Return the processes whose command line contains a text."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def children(pid: int) -> set[int]:
    """Return all processes below one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found |= {child} | children(child)
    return found


def alive(pids: set[int]) -> set[int]:
    """Return those processes that run: one that has ended may wait for its parent to ask."""
    return {pid for pid in pids if _state(pid) not in ("", "Z", "X")}


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


@dataclass
class Engine:
    """The life of BuildKit below one cache folder."""

    paths: Paths
    rootfs: Path
    started: list[subprocess.Popen[Any]] = field(default_factory=list[subprocess.Popen[Any]])

    def place(self, mode: str = "real") -> Place:
        return Place(self.paths.cache, next(one for one in MODES if one == mode))

    def state(self, mode: str = "real") -> dict[str, object]:
        return json.loads(self.place(mode).state.read_text())

    def pid(self, name: str, mode: str = "real") -> int:
        value = self.state(mode)[name]
        assert isinstance(value, int)
        return value

    def holder(self, mode: str = "real", under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start another process that holds a lease until its stdin is closed, or says why it can't."""
        command = [*under, sys.executable, "-c", HOLD, str(self.paths.cache), mode]
        env = os.environ | {"PYTHONPATH": str(EMBEDDED.parent)}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.started.append(process)
        return process

    def build(self, *args: str, mode: str = "real") -> subprocess.Popen[bytes]:
        """Start buildctl on one command in a container of the machine's own programs."""
        source = pb.Op(source=pb.SourceOp(identifier="local://rootfs", attrs={"local.sharedkeyhint": "rootfs"}))
        first = source.SerializeToString(deterministic=True)
        meta = pb.Meta(args=list(args), env=["PATH=/bin"], cwd="/")
        run = pb.Op(
            inputs=[pb.Input(digest=_digest(first), index=0)],
            exec=pb.ExecOp(
                meta=meta, mounts=[pb.Mount(input=0, dest="/", output=0, contentCache=pb.MountContentCache.ON)]
            ),
        )
        return self._buildctl(first, run, mode)

    def pull(self, reference: str, mode: str = "lab") -> subprocess.Popen[bytes]:
        """Start buildctl on an image."""
        source = pb.Op(source=pb.SourceOp(identifier=f"docker-image://{reference}"))
        return self._buildctl(None, source, mode)

    def _buildctl(self, first: bytes | None, second: Any, mode: str) -> subprocess.Popen[bytes]:
        last: bytes = second.SerializeToString(deterministic=True)
        end = pb.Op(inputs=[pb.Input(digest=_digest(last), index=0)]).SerializeToString(deterministic=True)
        parts = [part for part in (first, last, end) if part is not None]
        command = [str(tool("buildctl")), "--addr", self.place(mode).address, "build", "--progress", "plain"]
        if first is not None:
            command += ["--local", f"rootfs={self.rootfs}"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.started.append(process)
        assert process.stdin is not None
        process.stdin.write(pb.Definition(**{"def": parts}).SerializeToString())
        process.stdin.close()
        process.stdin = None
        return process

    def output(self, process: subprocess.Popen[bytes]) -> str:
        """Return what buildctl said, once it has ended."""
        return process.communicate(timeout=60)[1].decode(errors="replace")


def _digest(op: bytes) -> str:
    return f"sha256:{hashlib.sha256(op).hexdigest()}"
