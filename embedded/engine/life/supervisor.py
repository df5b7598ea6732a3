"""The process that a daemon belongs to: `python -m embedded.engine.life.supervisor CACHE MODE`.

It starts what its order says, ends it when nobody has held a lease for the idle time, and cleans up behind a daemon
that was killed. It is detached from the call that started it; whatever ends it ends the daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

from embedded.engine.errors import EngineError
from embedded.engine.life import clients
from embedded.engine.life.config import SUPERSEDED
from embedded.engine.life.diagnosis import failed_start
from embedded.engine.life.network import add_rules, remove_bridge, remove_rules
from embedded.engine.life.place import MODES, Place
from embedded.engine.life.sharing import share

START_SECONDS = 60.0
TURN_SECONDS = 60.0
"""How long it waits for an earlier supervisor, and for its daemon, which may be writing its state to the disk."""
STUCK_HINT = "`./daggerw --engine stop` ends it."
GRACE_SECONDS = 2.5
"""How long a daemon has to end by itself."""
PRUNE_SECONDS = 1.0
SHARE_SECONDS = 2.5
"""How long it takes at most to let go of what is superseded, and to share what is the same."""


class Supervisor:
    """One daemon, and in the lab its registry."""

    def __init__(self, place: Place, order: dict[str, Any]) -> None:
        self._place = place
        self._order = order
        self._daemon: subprocess.Popen[bytes] | None = None
        self._registry: subprocess.Popen[bytes] | None = None
        self._told_to_end = False
        self._clients = os.open(place.clients, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._waking, self._woken = socket.socketpair()
        for end in (self._waking, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno())
        signal.signal(signal.SIGCHLD, self._look_again)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)

    def _look_again(self, *_: object) -> None:
        """Do nothing: that a handler is there wakes up whoever waits."""

    def _end(self, *_: object) -> None:
        self._told_to_end = True

    def run(self) -> None:
        """Start, wait, and end; raises EngineError when the daemon does not start."""
        try:
            self._start()
            self._wait()
        finally:
            self._stop()

    def _start(self) -> None:
        place = self._place
        self._clean_up()
        try:
            shutil.rmtree(self._order["environment"]["TMPDIR"], ignore_errors=True)
            Path(self._order["environment"]["TMPDIR"]).mkdir(mode=0o700)
            place.config.write_text(self._order["config"])
            place.plugins.write_text(self._order["plugins"])
            (place.folder / "hosts").write_text(self._order["hosts"])
            with contextlib.suppress(FileNotFoundError):
                place.log.replace(place.log.with_suffix(".log.1"))
            place.rules.write_text(json.dumps(self._order["rules"]))
            add_rules(self._order["iptables"], self._order["rules"])
            _until_left(place.root_lock)
            if self._order["registry"]:
                self._start_registry()
            self._daemon = self._process(self._order["daemon"], place.log)
        except OSError as error:
            raise failed_start(place, str(error)) from error
        self._until_answers(self._daemon, lambda: answers(place.socket), place.log)
        state = {
            "supervisor": os.getpid(),
            "daemon": child_of(self._daemon.pid),
            "registry": self._registry.pid if self._registry else None,
            "registry_address": self._order["registry_address"],
            "key": self._order["key"],
            "idle_seconds": self._order["idle_seconds"],
            "started": time.time(),
        }
        write_whole(place.state, json.dumps(state))

    def _start_registry(self) -> None:
        address = cast("str", self._order["registry_address"])
        blobs = self._place.cache / "lab" / "registry"
        blobs.mkdir(parents=True, exist_ok=True)
        log = self._place.folder / "registry.log"
        self._registry = self._process(self._order["registry"], log)
        host, _, port = address.rpartition(":")
        self._until_answers(self._registry, lambda: answers((host, int(port))), log)
        from embedded import lab

        try:
            lab.publish(address)
        except lab.LabError as error:  # a broken lab tells so when it is used; other images still work
            print(f"lab: {error}", file=sys.stderr, flush=True)

    def _process(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                env=self._order["environment"], start_new_session=True,
            )  # fmt: skip

    def _until_answers(self, process: subprocess.Popen[bytes], answering: Any, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answering():
            if process.poll() is not None or self._told_to_end:
                raise failed_start(self._place, log.read_text(errors="replace"))
            if time.monotonic() > deadline:
                raise EngineError(
                    f"BuildKit did not start within {START_SECONDS:.0f} s", hint=f"Its log is {log}; try again."
                )
            time.sleep(0.01)

    def _wait(self) -> None:
        """Return when told to end, when a process has died, or, with the clients' lock held, when the time is up."""
        idle_seconds = float(self._order["idle_seconds"])
        last = LastUse(os.fstat(self._clients).st_mtime, time.monotonic())
        while not self._told_to_end and not self._one_has_ended():
            left = idle_seconds
            if clients.nobody(self._clients):
                left -= last.ago(os.fstat(self._clients).st_mtime, time.time(), time.monotonic())
                if left <= 0:
                    return
                fcntl.flock(self._clients, fcntl.LOCK_UN)
            select.select([self._waking], [], [], max(0.05, min(left, idle_seconds / 10)))
            with contextlib.suppress(BlockingIOError):
                self._waking.recv(4096)

    def _one_has_ended(self) -> bool:
        return any(process and process.poll() is not None for process in (self._daemon, self._registry))

    def _stop(self) -> None:
        place = self._place
        place.state.unlink(missing_ok=True)
        unused = clients.nobody(self._clients)  # else it ends in the middle of something, and at once
        if self._daemon:
            if unused:
                self._let_go()
            inner = child_of(self._daemon.pid)
            if inner:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(inner, signal.SIGTERM)
            end(self._daemon, GRACE_SECONDS if inner else 0)
        if self._registry:
            end(self._registry, 0)
        if unused:
            share(place.root, place.cache / "lab", place.folder / "shared.new", SHARE_SECONDS)
        self._clean_up()

    def _let_go(self) -> None:
        """Have a daemon that still works remove what nobody will ask for again."""
        if self._daemon and self._daemon.poll() is None:
            from embedded.engine.buildkit import prune_cache

            with contextlib.suppress(EngineError):
                prune_cache(self._place.address, SUPERSEDED, PRUNE_SECONDS)

    def _clean_up(self) -> None:
        """Remove what this daemon, or an earlier one that was killed, left on the machine."""
        place = self._place
        place.socket.unlink(missing_ok=True)
        remove_bridge(place.bridge)
        with contextlib.suppress(FileNotFoundError, ValueError):
            remove_rules(self._order["iptables"], json.loads(place.rules.read_text()))
            place.rules.unlink()
        with contextlib.suppress(OSError):
            Path("/var/lib/cni").rmdir()  # the mount point: goes if nobody else has anything in it


class LastUse:
    """When a client was last there, on a clock that nobody sets.

    Clients leave the time of day on their lock file. That it changed is what counts, not what it says: the clock may
    have been set since. Where both clocks agree, it also says when between two looks that was.
    """

    def __init__(self, stamp: float, now: float) -> None:
        self._last = self._looked = now
        self._stamp = stamp

    def ago(self, stamp: float, wall: float, now: float) -> float:
        """Return the seconds since the last use: the lock file's time, and both clocks' now."""
        if stamp != self._stamp:
            since = wall - stamp
            self._last = now - since if 0 <= since <= now - self._looked else now
        self._stamp, self._looked = stamp, now
        return now - self._last


def answers(address: Path | tuple[str, int]) -> bool:
    """Tell whether something listens at a Unix socket or a TCP address."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
    return True


def child_of(pid: int) -> int | None:
    """Return a process's only child: unshare's is buildkitd."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent …"; the name may hold blanks and brackets
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                return int(status.parent.name)
    return None


def end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Wait for a process for a while, then kill it."""
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that readers see all of it or nothing."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def main(cache: str, mode: str) -> int:
    """Supervise; the error of a daemon that does not start goes to stdout as JSON."""
    place = Place(Path(cache), next(one for one in MODES if one == mode))
    with place.supervising.open("a+") as lock:
        try:
            _take(lock)
        except EngineError as error:
            return _told(error)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            Supervisor(place, json.loads(place.order.read_text())).run()
        except EngineError as error:
            return _told(error)
    return 0


def _told(error: EngineError) -> int:
    print(json.dumps({"message": error.message, "hint": error.hint}), flush=True)
    return 1


def _until_left(lock: Path) -> None:
    """Wait for a daemon that was killed to be gone: the kernel lets nothing end that waits for the disk."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("a") as file:
        _take(file)


def _take(lock: IO[str]) -> None:
    """Take a file's lock from who is about to end; raises EngineError where it does not."""
    deadline = time.monotonic() + TURN_SECONDS
    while True:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.monotonic() > deadline:
            raise EngineError("an earlier BuildKit does not end", hint=STUCK_HINT)
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
