"""What a piece of work costs the machine: wall time, CPU time, peak memory, bytes written.

The counters are the whole machine's (/proc), so that they hold for any engine, in a container or not. Measure when
nothing else runs.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

_EVERY = 0.1
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What was used: seconds, seconds of CPU, bytes of memory above what was in use before, bytes written to disks."""

    wall: float
    cpu: float
    memory: int
    written: int

    def __add__(self, other: Cost) -> Cost:
        """Return what both cost, one after the other."""
        return Cost(
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.memory, other.memory),
            self.written + other.written,
        )

    def to_json(self) -> dict[str, Any]:
        """Return this as plain values."""
        return asdict(self)


def _cpu() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / _TICK


def _memory() -> int:
    wanted = {"AnonPages:", "Shmem:"}
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(words[1]) * 1024 for words in lines if words[0] in wanted)


def _written() -> int:
    lines = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "pgpgout")


class Meter:
    """Measures what happens inside of `with`; `cost` is there afterwards."""

    def __init__(self) -> None:
        self.cost = Cost(0, 0, 0, 0)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        os.sync()  # what others wrote before is not this work's
        self._before = _memory()
        self._peak = self._before
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()
        self._from = (time.perf_counter(), _cpu(), _written())
        return self

    def _sample(self) -> None:
        while not self._stop.wait(_EVERY):
            self._peak = max(self._peak, _memory())

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self._from[0], _cpu() - self._from[1]
        self._stop.set()
        self._watch.join()
        os.sync()
        self.cost = Cost(wall, cpu, self._peak - self._before, _written() - self._from[2])
