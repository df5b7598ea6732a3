"""Forks the processes of a module from one that has imported its libraries: run in the module's own environment.

Importing the SDK takes a second, and a call starts two processes. This one imports it once and stays for a while; what
it forks is as a process started anew: in a session of its own, with the caller's environment, output and working
folder, ended by the kernel with this one and by this one with the caller. The module's own code is never imported
here, so that each call runs it from its first line on. What calls import of the libraries is imported here too once
nothing is to be done, for the calls after them.

A request is one message on a Unix socket: JSON with `env` and `cwd`, and two descriptors, for stdout and stderr. The
answers are `{"pid": …}` and, when it has ended, `{"code": …}`. Who closes the connection before wants it ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

SDK = "dagger.mod.cli"
MESSAGE_BYTES = 256 << 10
CALM_SECONDS = 1.0
"""How long nothing is to be done before libraries are imported: they must not be in the way of the next call."""
LOOK_SECONDS = 30.0
"""How often it is looked whether the module's copy is still there."""
UNFIT = "unfit"
"""File beside the socket: importing the SDK starts threads here, which a fork would lose. Nothing can be forked."""
SDK_ONLY = "sdk-only"
"""File beside the socket: a library started threads when it was imported, so none is imported ahead any more."""
PR_SET_PDEATHSIG = 1
GC_THRESHOLD = 50_000
"""Objects, above those that end, after which a call's process looks for cycles. It lives for seconds, and Python's own
threshold has it look some two hundred times, for a twelfth of its time."""


class Watcher:
    """An import finder that finds nothing: it tells the server which modules a forked process asks for."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        """Tell the name; a server that is gone or has much to read is no reason to wait."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, f"{name}\n".encode())


class Libraries:
    """What is imported ahead: modules of the environment's packages and of Python's own library."""

    def __init__(self, *, learning: bool) -> None:
        names = ("stdlib", "platstdlib", "purelib", "platlib")
        self._folders = tuple(f"{os.path.realpath(sysconfig.get_path(name))}/" for name in names)
        self._known: set[str] = set()
        self._learning = learning
        self.wanted: list[str] = []

    def note(self, names: str) -> None:
        """Take names of modules that a forked process has imported, one a line."""
        for name in names.split():
            if self._learning and name not in self._known:
                self._known.add(name)
                self.wanted.append(name)

    def bring(self) -> None:
        """Import what is wanted of the libraries, with the module's own code out of sight."""
        wanted, self.wanted = self.wanted, []
        paths = sys.path[:]
        sys.path[:] = [path for path in paths if self._ours(path)]
        try:
            for name in wanted:
                if name not in sys.modules and self._is_library(name.partition(".")[0]):
                    with contextlib.suppress(BaseException):  # a library may even exit: then calls see that, not this
                        importlib.import_module(name)
        finally:
            sys.path[:] = paths

    def _is_library(self, package: str) -> bool:
        with contextlib.suppress(ImportError, ValueError, AttributeError):
            found = importlib.util.find_spec(package)
            if found is None:
                return False
            places = [found.origin] if found.has_location else list(found.submodule_search_locations or ())
            return all(place and self._ours(place) for place in places)
        return False

    def _ours(self, path: str) -> bool:
        return f"{os.path.realpath(path)}/".startswith(self._folders) or path.endswith(".zip")


def single_threaded() -> bool:
    """Tell whether a fork takes along all that runs here."""
    return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - nothing but the number counts


class Job:
    """What a forked process is to be."""

    def __init__(self, request: dict[str, Any], descriptors: list[int]) -> None:
        self._env: dict[str, str] = request["env"]
        self._cwd: str = request["cwd"]
        self._out, self._err = descriptors

    def begin(self) -> None:
        """Become as a process that was started anew."""
        null = os.open(os.devnull, os.O_RDONLY)
        for number, given in enumerate((null, self._out, self._err)):
            os.dup2(given, number)
            os.close(given)
        os.environ.clear()
        os.environ.update(self._env)
        os.chdir(self._cwd)
        sys.argv = ["-c"]
        gc.set_threshold(GC_THRESHOLD)
        gc.enable()

    def drop(self) -> None:
        """Close what came with the request."""
        for number in (self._out, self._err):
            os.close(number)


class Server:
    """Forks for whoever connects, until told to end or nobody has for a while."""

    def __init__(
        self, listener: socket.socket, lock: int, idle_seconds: float, module: Path, libraries: Libraries
    ) -> None:
        self._listener = listener
        self._lock = lock
        self._idle_seconds = idle_seconds
        self._module = module
        self._libraries = libraries
        self._children: dict[int, socket.socket] = {}
        self._connections: dict[socket.socket, int | None] = {}
        self._used = time.monotonic()
        self._ending = self._retiring = False
        self._prctl = ctypes.CDLL(None).prctl
        self._told, self._telling = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._waking, self._woken = socket.socketpair()
        self._selector = selectors.PollSelector()  # of no descriptor of its own, which a fork would share
        for one in (listener, self._told, self._waking):
            self._selector.register(one, selectors.EVENT_READ)
        listener.setblocking(False)
        for end in (self._waking, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno())
        signal.signal(signal.SIGCHLD, self._look)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGUSR1, self._retire)

    def _look(self, *_: object) -> None:
        """Do nothing: that a handler is there wakes up whoever waits."""

    def _end(self, *_: object) -> None:
        self._ending = True

    def _retire(self, *_: object) -> None:
        self._retiring = True

    def run(self) -> Job | None:
        """Serve; returns None at the end, and in a forked process what that is to do."""
        while not self._over():
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._waking:
                    with contextlib.suppress(BlockingIOError):
                        self._waking.recv(4096)
                elif key.fileobj == self._told:
                    self._libraries.note(os.read(self._told, 1 << 16).decode(errors="replace"))
                elif isinstance(key.fileobj, socket.socket) and (job := self._heed(key.fileobj)):
                    return job
            self._reap()
            if self._calm() >= CALM_SECONDS and self._libraries.wanted:
                self._libraries.bring()
                settle()
                self._ending = self._ending or not single_threaded()
        for pid in self._children:
            _kill(pid)
        return None

    def _calm(self) -> float:
        return 0.0 if self._connections else time.monotonic() - self._used

    def _over(self) -> bool:
        if self._ending or (self._retiring and not self._connections):
            return True
        return self._calm() >= self._idle_seconds or not self._module.exists()

    def _patience(self) -> float:
        if not self._connections and self._libraries.wanted:
            return CALM_SECONDS
        return max(0.01, min(LOOK_SECONDS, self._idle_seconds - self._calm()))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._connections[connection] = None
            self._selector.register(connection, selectors.EVENT_READ)

    def _heed(self, connection: socket.socket) -> Job | None:
        """Take a connection's request, or its end."""
        try:
            message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 2)
            if not message:
                raise ConnectionError
            job = Job(json.loads(message), descriptors)
        except BlockingIOError:
            return None
        except (OSError, ValueError, KeyError):
            self._forget(connection)
            return None
        self._used = time.monotonic()
        os.utime(self._lock)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._leave(parent)
            return job
        job.drop()
        self._connections[connection] = pid
        self._children[pid] = connection
        _send(connection, {"pid": pid})
        return None

    def _forget(self, connection: socket.socket) -> None:
        self._used = time.monotonic()
        pid = self._connections.pop(connection)
        self._selector.unregister(connection)
        connection.close()
        if pid is not None and self._children.pop(pid, None):
            _kill(pid)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if connection := self._children.pop(pid, None):
                    _send(connection, {"code": os.waitstatus_to_exitcode(status)})
                    self._forget(connection)

    def _leave(self, parent: int) -> None:
        """In a forked process: let go of all that is the server's."""
        self._prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        for one in (self._listener, self._waking, self._woken, *self._connections):
            one.close()
        for number in (self._lock, self._told):
            os.close(number)
        sys.meta_path.insert(0, Watcher(self._telling))  # pyright: ignore[reportArgumentType]


def _send(connection: socket.socket, answer: dict[str, int]) -> None:
    with contextlib.suppress(OSError):
        connection.send(json.dumps(answer).encode())


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):  # it may not have become a leader yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)


def settle() -> None:
    """Have what is here count as lasting, so that forked processes go on sharing its memory."""
    gc.collect()
    gc.freeze()


def main(listener: str, lock: str, idle_seconds: str, module: str, folder: str) -> None:
    """Serve; in a forked process run the module as its SDK does."""
    gc.disable()
    for number in (int(listener), int(lock)):
        fcntl.fcntl(number, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    here = Path(folder)
    sdk = importlib.import_module(SDK)
    if not single_threaded():
        (here / UNFIT).touch()
        return
    settle()
    libraries = Libraries(learning=not (here / SDK_ONLY).exists())
    server = Server(socket.socket(fileno=int(listener)), int(lock), float(idle_seconds), Path(module), libraries)
    job = server.run()
    if job is None:
        if not single_threaded():
            (here / SDK_ONLY).touch()
        return
    job.begin()
    sys.exit(sdk.app())


if __name__ == "forkserver":
    main(*sys.argv[2:])
