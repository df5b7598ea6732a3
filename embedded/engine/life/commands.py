"""The engine's upkeep: what `./daggerw --engine status|stop|prune` does."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from embedded.engine.errors import EngineError
from embedded.engine.life import clients
from embedded.engine.life.leases import read_state, stop, supervisor_of
from embedded.engine.life.orders import IDLE_SECONDS
from embedded.engine.life.place import MODES, Place
from embedded.engine.module import forkservers
from embedded.setup.paths import paths


def main(command: str, everything: bool = False) -> int:
    """Run `status`, `stop` or `prune` (`everything`: the whole cache folder); returns the exit code."""
    console = Console(highlight=False)
    try:
        match command:
            case "status":
                status(console)
            case "stop":
                stop_all(console)
            case "prune" if everything:
                remove_everything(console)
            case "prune":
                prune(console)
            case _:
                raise EngineError(f"unknown command {command!r}: choose one of status, stop, prune")
    except EngineError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def places() -> list[Place]:
    """Return the places of both modes below the cache folder."""
    return [Place(paths().cache, mode) for mode in MODES]


def status(console: Console) -> None:
    """Show what runs, since when and for whom, and what it takes of the disk."""
    ready = [str(pid) for one in forkservers.servers(paths().cache) if (pid := one.pid)]
    table = Table(
        "",
        *(Column(mode, overflow="fold") for mode in MODES),
        title=f"The embedded engine, {paths().cache}",
        title_justify="left",
    )
    columns = [_describe(place) for place in places()]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    console.print(table)
    console.print(f"kept ready for modules' functions: {'process ' + ', '.join(ready) if ready else 'nothing'}")
    if host := os.environ.get("BUILDKIT_HOST"):
        console.print(f"BUILDKIT_HOST is set: calls use {host} instead")
    disk = shutil.disk_usage(next(path for path in (paths().cache, *paths().cache.parents) if path.exists()))
    console.print(f"disk: {size(disk.free)} of {size(disk.total)} free")


def _describe(place: Place) -> dict[str, str]:
    state = read_state(place) if supervisor_of(place) else None
    using = clients.count(place.clients) if state else 0
    return {
        "BuildKit": "runs" if state else "does not run",
        "process": f"{state['daemon']}, supervisor {state['supervisor']}" if state else "-",
        "socket": str(place.socket) if state else "-",
        "up since": _ago(time.time() - state["started"]) if state else "-",
        "clients": str(using) if state else "-",
        "ends when idle in": _left(place, state, using),
        "registry": (state or {}).get("registry_address") or "-",
        "cache": size(used(place.root)),
    }


def _left(place: Place, state: dict[str, Any] | None, using: int) -> str:
    if state is None:
        return "-"
    idle = float(state.get("idle_seconds", IDLE_SECONDS))
    if using:
        return f"{_ago(idle)} after the last client"
    since = max(state["started"], place.clients.stat().st_mtime)
    return _ago(min(idle, max(0.0, idle - (time.time() - since))))


def stop_all(console: Console) -> None:
    """End both modes' daemons, and the processes kept ready for modules; the caches stay."""
    stopped = [place.mode for place in places() if stop(place)]
    if forkservers.stop_all(paths().cache):
        stopped.append("modules' processes")
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def prune(console: Console) -> None:
    """Empty both modes' build caches and say how much that freed."""
    forkservers.forget_ended(paths().cache)
    for place in places():
        before = used(place.root)
        if supervisor_of(place):
            _prune_running(place)
        elif place.root.exists():
            _remove(place.root)
        console.print(f"{place.mode}: freed {size(max(0, before - used(place.root)))}")


def _prune_running(place: Place) -> None:
    from embedded.engine.buildkit import prune_cache

    try:
        prune_cache(place.address)
    except EngineError as error:
        raise EngineError(
            f"BuildKit can't empty its {place.mode} cache: {error.message}",
            hint="`./daggerw --engine stop`, then prune again: it removes the folder.",
        ) from error


def remove_everything(console: Console) -> None:
    """End the daemons and remove the whole cache folder; the next call sets all up again."""
    for place in places():
        stop(place)
    forkservers.stop_all(paths().cache)
    before = used(paths().cache)
    _remove(paths().cache)
    console.print(f"removed {paths().cache}: freed {size(before)}")


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise EngineError(f"{folder} can't be removed: {error.strerror or error}") from error


def used(folder: Path) -> int:
    """Return how many bytes of the disk a folder takes: hard links once, and nothing of what vanishes meanwhile."""
    total, seen = 0, set[tuple[int, int]]()
    pending = [folder]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        if (status.st_dev, status.st_ino) in seen:
                            continue
                        seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
    return total


def size(amount: float) -> str:
    """Write a number of bytes for people, in decimal units: `1.2 GB`."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _ago(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"
