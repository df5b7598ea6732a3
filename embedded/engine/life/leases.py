"""Leases: a call holds one while it works with BuildKit, and the first one starts it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.engine.errors import EngineError
from embedded.engine.life import clients
from embedded.engine.life.diagnosis import FULL_DISK_HINT, failed_start
from embedded.engine.life.place import Mode, Place
from embedded.setup.paths import EMBEDDED, Paths

LEAST_ROOM = 32 << 20
"""Bytes of the disk that must be free: with less not even BuildKit's own records fit."""
STOP_SECONDS = 4.5
"""How long a supervisor has to end its daemon; killing it ends the daemon too."""
DISK_SECONDS = 60.0
"""How long what was killed may take to go: the kernel lets nothing end that waits for the disk, and the engine's state
may just be on its way there."""


@dataclass(frozen=True)
class Lease:
    """A BuildKit that answers for as long as the lease is held."""

    address: str
    """`unix:///…/buildkitd.sock`, or what BUILDKIT_HOST says."""
    registry: str | None = None
    """`127.0.0.1:PORT` of the lab's registry; None in the real mode and with BUILDKIT_HOST."""


@contextlib.contextmanager
def lease(paths: Paths, mode: Mode) -> Generator[Lease]:
    """Hold a BuildKit; it is started if there is none.

    The lease ends with the process too, however that ends. With BUILDKIT_HOST set that BuildKit is used and nothing is
    started. Raises EngineError with the cause and the way out when no BuildKit can be had.
    """
    if host := os.environ.get("BUILDKIT_HOST"):
        _reach(host)
        yield Lease(host)
        return
    if os.geteuid() != 0:
        raise EngineError(
            "the embedded engine needs root to start BuildKit",
            hint="Run it as root, or name a BuildKit that runs in BUILDKIT_HOST.",
        )
    place = Place(paths.cache, mode)
    _see_that_there_is_room(place)
    try:
        place.make()
        held = clients.hold(place.clients)
    except OSError as error:
        raise failed_start(place, str(error)) from error
    try:
        yield _provided(place, paths, held)
    finally:
        clients.release(held)


def _see_that_there_is_room(place: Place) -> None:
    """Refuse a full disk here, where it can be named: BuildKit fails on one in many ways, some without a word."""
    folder = next(path for path in (place.folder, *place.folder.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < LEAST_ROOM:
        raise EngineError(
            f"BuildKit can't work: the disk that holds {place.folder} is full ({free / 1e6:.1f} MB left)",
            hint=FULL_DISK_HINT,
        )


def _provided(place: Place, paths: Paths, held: int) -> Lease:
    from embedded.engine.life.orders import free_port, order

    lab = place.mode == "lab"
    wanted = order(place, paths, "127.0.0.1:0" if lab else None).key
    if (found := _running(place, wanted)) is None:
        with _locked(place.starting):
            if (found := _running(place, wanted)) is None and not _replaceable(place, held):
                found = _running(place)  # made otherwise, but others are using it
            if found is None:
                found = _start(place, order(place, paths, f"127.0.0.1:{free_port()}" if lab else None).dump())
    return Lease(place.address, found["registry_address"] or None)


def _running(place: Place, key: str | None = None) -> dict[str, Any] | None:
    """Return the state of a daemon that answers, if it is the one wanted."""
    from embedded.engine.life.supervisor import answers

    state = read_state(place)
    if state is None or key not in {None, state["key"]} or not answers(place.socket):
        return None
    return state


def _replaceable(place: Place, held: int) -> bool:
    """End a daemon that was made otherwise (an older version, another configuration) unless others are using it."""
    try:
        if not clients.nobody(held):
            return False
        stop(place)
        return True
    finally:
        fcntl.flock(held, fcntl.LOCK_SH)


def _start(place: Place, order: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "embedded.engine.life.supervisor", str(place.cache), place.mode]
    environment = {**json.loads(order)["environment"], "PYTHONPATH": str(EMBEDDED.parent), "PYTHONSAFEPATH": "1"}
    try:
        place.order.write_text(order)
        said = place.order.with_suffix(".answer")
        with (place.folder / "supervisor.log").open("wb") as log, said.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, cwd="/", env=environment,
                start_new_session=True,
            )  # fmt: skip
            while (state := _running(place)) is None:
                if process.poll() is not None:
                    raise _why(place, said)
                time.sleep(0.01)
    except OSError as error:
        raise failed_start(place, str(error)) from error
    process.returncode = 0  # it stays: nobody waits for it
    return state


def _why(place: Place, said: Path) -> EngineError:
    with contextlib.suppress(ValueError, KeyError):
        answer = json.loads(said.read_text())
        return EngineError(answer["message"], hint=answer["hint"])
    return failed_start(place, (place.folder / "supervisor.log").read_text(errors="replace"))


def stop(place: Place) -> bool:
    """End a place's daemon and all that belongs to it; returns whether there was one.

    Takes six seconds at most, or as long as the disk.
    """
    supervisor = supervisor_of(place)
    if supervisor is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(supervisor)
        try:
            for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, DISK_SECONDS)):
                signal.pidfd_send_signal(process, number)
                if select.select([process], [], [], patience)[0]:
                    return True
        finally:
            os.close(process)
        raise EngineError(
            f"process {supervisor}, which runs BuildKit, was killed and does not end",
            hint="It waits for the disk: `dmesg` says whether that is in order.",
        )
    return True


def supervisor_of(place: Place) -> int | None:
    """Return the process id of a place's supervisor, None if none lives."""
    try:
        with place.supervising.open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


def read_state(place: Place) -> dict[str, Any] | None:
    """Return what the supervisor last wrote of what it runs."""
    try:
        return json.loads(place.state.read_text())
    except (FileNotFoundError, ValueError):
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _reach(host: str) -> None:
    """See that something listens at BUILDKIT_HOST, so that the error is not that of the first solve."""
    from embedded.engine.life.supervisor import answers

    url = urllib.parse.urlsplit(host)
    if url.scheme == "unix":
        found = answers(Path(url.path))
    elif url.scheme == "tcp" and url.hostname and url.port:
        found = answers((url.hostname, url.port))
    else:
        raise EngineError(f"BUILDKIT_HOST is {host!r}", hint="Give unix:///path/to/socket or tcp://host:port.")
    if not found:
        raise EngineError(
            f"no BuildKit answers at {host}, which BUILDKIT_HOST names",
            hint="Start it, correct the variable, or unset it: then the embedded engine starts a BuildKit of its own.",
        )
