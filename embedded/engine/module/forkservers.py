"""The fork servers of a cache folder: where they are, starting one, asking one for a process, ending them.

Each stands for one module's copy and environment, and for one kind of caller: who runs with other limits, in other
namespaces or with another language gets a server of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.engine.module import forkserver

PROGRAM = Path(forkserver.__file__)
BOOT = (
    "import pathlib, sys; "
    "exec(compile(pathlib.Path(sys.argv[1]).read_bytes(), sys.argv[1], 'exec'), {'__name__': 'forkserver'})"
)
LIMIT = 3
"""Servers at the same time; each takes about 80 MB. The one that was not used for longest goes first."""
STOP_SECONDS = 2.0
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


class CannotForkError(Exception):
    """There is no server, and none can be had: the process is to be started anew."""


@dataclass(frozen=True)
class Forkserver:
    """One server's folder: its socket, the lock that it holds while it lives, what it says."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Holds the process id; its time is that of the last request."""
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        """What it says, which is nothing unless it fails."""
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """The server's process id, None if none lives."""
        try:
            with self.lock.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0) or None
        except OSError:
            pass
        return None

    def connect(self) -> socket.socket:
        """Connect to the server; raises OSError when there is none."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with self._address() as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _address(self) -> Generator[str]:
        """Name the socket; the folder's own name may be too long for a socket's."""
        number = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{number}/socket"
        finally:
            os.close(number)

    def start(self, python: Path, module: Path, env: Mapping[str, str], cwd: Path, idle_seconds: float) -> None:
        """Start the server; who connects from now on is answered once it has imported the SDK."""
        if (self.folder / forkserver.UNFIT).exists():
            raise CannotForkError("the SDK starts threads when it is imported")
        held = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (self.folder / "socket").unlink(missing_ok=True)
            with self._address() as address:
                listener.bind(address)
            listener.listen(64)
            words = (str(listener.fileno()), str(held), str(idle_seconds), str(module), str(self.folder))
            with self.log.open("wb") as log:
                process = subprocess.Popen(
                    [str(python), "-c", BOOT, str(PROGRAM), *words], cwd=cwd, env=dict(env),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    pass_fds=(listener.fileno(), held),
                )  # fmt: skip
            process.returncode = 0  # it stays: nobody waits for it
            os.ftruncate(held, 0)
            os.pwrite(held, str(process.pid).encode(), 0)
        except OSError as error:  # one that is just ending may hold the lock still
            raise CannotForkError(str(error)) from error
        finally:
            listener.close()
            os.close(held)

    def tell(self, number: signal.Signals) -> int | None:
        """Send it a signal; returns a descriptor of the process, None if there is none."""
        pid = self.pid
        with contextlib.suppress(OSError):
            if pid is not None:
                process = os.pidfd_open(pid)
                signal.pidfd_send_signal(process, number)
                return process
        return None

    def stop(self) -> bool:
        """End it and what it has forked; returns whether there was one."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            process = self.tell(number)
            if process is None:
                return number == signal.SIGKILL
            try:
                if select.select([process], [], [], STOP_SECONDS)[0]:
                    return True
            finally:
                os.close(process)
        return True


def top(cache: Path) -> Path:
    """The folder with the servers' folders."""
    return cache / "forkservers"


def servers(cache: Path) -> Iterator[Forkserver]:
    """All that have been, alive or not."""
    for lock in sorted(top(cache).glob("*/lock")):
        yield Forkserver(lock.parent)


def stop_all(cache: Path) -> int:
    """End all servers; returns how many there were."""
    return sum(one.stop() for one in servers(cache))


def forget_ended(cache: Path) -> None:
    """Remove the folders of servers that are no more."""
    if not top(cache).exists():
        return
    with starting(cache):
        for one in servers(cache):
            if one.pid is None:
                shutil.rmtree(one.folder, ignore_errors=True)


def server_for(cache: Path, python: Path, module: Path, env: Mapping[str, str]) -> Forkserver:
    """The server for a module's copy, its interpreter, the variables of its processes, and this kind of caller."""
    kind = [str(python), str(module), sorted(env.items()), PROGRAM.read_text(), _kind_of_caller()]
    name = hashlib.sha256(json.dumps(kind).encode()).hexdigest()[:24]
    return Forkserver(top(cache) / name)


def _kind_of_caller() -> list[object]:
    """What a process inherits from the one that starts it, beside its variables and descriptors."""
    mask = os.umask(0o022)
    os.umask(mask)
    limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")]
    spaces = [str(path.readlink()) for name in NAMESPACES if (path := Path(f"/proc/self/ns/{name}")).is_symlink()]
    status = Path("/proc/self/status").read_text().splitlines()
    rights = [line for line in status if line.startswith(("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:"))]
    groups = Path("/proc/self/cgroup").read_text()
    root = Path("/").stat()
    return [
        *(mask, os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), limits, spaces, rights, groups),
        *(root.st_dev, root.st_ino),
    ]


@contextlib.contextmanager
def starting(cache: Path) -> Generator[None]:
    """Hold the right to start a server; one that is too many is told to go when it is free."""
    top(cache).mkdir(parents=True, exist_ok=True, mode=0o700)
    with (top(cache) / "starting.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        alive = sorted((one for one in servers(cache) if one.pid), key=lambda one: -one.lock.stat().st_mtime)
        for one in alive[LIMIT:]:
            process = one.tell(signal.SIGUSR1)
            if process is not None:
                os.close(process)
