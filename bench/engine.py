"""How fast the engine of the current session is. Prints a table; run it when the machine has nothing else to do:

    ./daggerw --lab -s run python bench/engine.py

Each figure is the median of the runs, with all of them beside it. The targets are for 2 cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import dagger
from dagger import dag
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOP = Path(__file__).resolve().parent.parent
IMAGE = "docker.io/library/debian:trixie-slim"
RUNS = 5
FILES = 10_000
GIB = 1 << 30


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, in which unit, and what it is to be."""

    name: str
    unit: str
    target: str
    values: list[float]

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.values)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Do it once, and return the seconds that it took."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def daggerw(*args: str, cwd: Path = TOP) -> str:
    """Run daggerw as from outside of this session, and return what it prints."""
    lab = ["--lab"] if os.environ.get("DAGGERW_LAB", "1") == "1" else []
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DAGGER_SESSION")}
    command = [str(TOP / "daggerw"), *lab, "-s", *args]
    done = await anyio.run_process(command, cwd=cwd, env=outside, stderr=subprocess.DEVNULL)
    return done.stdout.decode()


async def no_op_call() -> Figure:
    """A call of a function that does nothing, in a process of its own, everything warm."""
    probe = TOP / "embedded" / "tests" / "probe"

    async def call() -> None:
        await daggerw("call", "greet", "--name", "you", cwd=probe)

    await call()
    return Figure("warm call of a function that does nothing", "s", "≤ 2", [await timed(call) for _ in range(RUNS)])


async def cached_chain() -> Figure:
    """Twenty execs, one after the other, all of them cached."""

    async def chain() -> None:
        container = dag.container().from_(IMAGE)
        for number in range(20):
            container = container.with_exec(["sh", "-c", f"echo {number} >> /log"])
        await container.stdout()

    await chain()
    return Figure("chain of 20 cached execs", "s", "≤ 1", [await timed(chain) for _ in range(RUNS)])


UPLOAD = """
import sys, time
import anyio, dagger
from dagger import dag

async def main():
    async with dagger.connection():
        began = time.perf_counter()
        await dag.host().directory(sys.argv[1]).entries()
        print(time.perf_counter() - began)

anyio.run(main)
"""


async def unchanged_upload(folder: Path) -> Figure:
    """A folder of 10,000 files, uploaded again by another session with nothing changed."""
    for number in range(FILES):
        path = folder / f"{number % 100:02}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n")
    values = [float(await daggerw("run", "python", "-c", UPLOAD, str(folder))) for _ in range(RUNS + 1)]
    return Figure(f"{FILES:,} unchanged files uploaded again", "s", "≤ 1", values[1:])


async def large_export(folder: Path) -> Figure:
    """A file of 1 GiB of random bytes, written to the host."""
    made = (
        dag.container()
        .from_(IMAGE)
        .with_exec(["sh", "-c", "mkdir /out && head -c 1073741824 /dev/urandom > /out/random"])
        .directory("/out")
    )
    await made.sync()

    async def export() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        await made.export(str(folder))

    values = [GIB / 1e6 / await timed(export) for _ in range(3)]
    return Figure("1 GiB exported", "MB/s", "≥ 300", values)


async def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "files").mkdir()
        async with dagger.connection():
            figures = [
                await cached_chain(),
                await unchanged_upload(folder / "files"),
                await large_export(folder / "out"),
            ]
        figures.append(await no_op_call())
    table = Table("measured", "median", "target", "all runs", title=f"engine, {os.cpu_count()} cores")
    for figure in figures:
        runs = " ".join(f"{value:.2f}" for value in figure.values)
        table.add_row(figure.name, f"{figure.median:.2f} {figure.unit}", f"{figure.target} {figure.unit}", runs)
    Console().print(table)


if __name__ == "__main__":
    anyio.run(main)
