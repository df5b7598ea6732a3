"""Measures the way of a stranger: from a fresh clone and an empty cache to the first asset, then `test`.

    python3 bench/first_call.py [--real] [--runs N] [--write]

It clones this checkout, sets XDG_CACHE_HOME to an empty folder, and runs README's commands there. Wall time is what a
person waits; CPU is what the kernel counted for all processes that came of the command, the engine's daemon and its
containers included (`getrusage` of children, which whatever detaches itself is made to be again). So CPU holds on a
machine that does other things too, wall time only on an idle one. `--write` puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs/performance.md"
TITLE = "## From a fresh clone to the first asset"
BUILD = ("call", "build", "--variant", "spin-only", "export", "--path", "out")
TEST = ("call", "test")
#: Seconds of wall time on two idle cores, seconds of CPU, bytes afterwards.
TARGETS = {"first": (270, 540), "test": (120, None)}
DISK_TARGET = 2_000_000_000
_SUBREAPER = 36


@dataclass
class Run:
    """What one run from nothing took."""

    first: tuple[float, float]
    test: tuple[float, float]
    disk: int
    load: float
    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def measured(command: list[str], folder: Path, env: dict[str, str], stop: list[str]) -> tuple[float, float]:
    """Run a command, then end the engine; returns wall time of the command, and CPU of all that came of it."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, env=env, check=True)  # noqa: S603 - the commands are this file's
    wall = time.monotonic() - began
    subprocess.run(stop, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - as above
    _wait_for_all()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _wait_for_all(seconds: float = 30) -> None:
    """Wait for processes that detached themselves, which count as children of this one, so that they are counted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.1)
        except ChildProcessError:
            return


def _used(folder: Path) -> int:
    command = ["/usr/bin/du", "--summarize", "--block-size=1", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - as above
    return int(done.stdout.split()[0])


def measure(folder: Path, *, lab: bool) -> Run:
    """Do all of it once below an empty folder."""
    clone, cache = folder / "clone", folder / "cache"
    cloning = [shutil.which("git") or "git", "clone", "--quiet", f"file://{TOP}", str(clone)]
    subprocess.run(cloning, check=True)  # noqa: S603 - as above
    env = os.environ | {"XDG_CACHE_HOME": str(cache), "DAGGERW_ENGINE": "embedded"}
    daggerw, stop = ["./daggerw", *(["--lab"] if lab else [])], ["./daggerw", "--engine", "stop"]
    load = os.getloadavg()[0]
    first = measured([*daggerw, *BUILD], clone, env, stop)
    report = clone / "out/assets/talos/arm64/validation/build-report.txt"
    if not report.is_file():
        sys.exit(f"the build left no {report}")
    disk = _used(cache)
    test = measured([*daggerw, *TEST], clone, env, stop)
    times = cache / "cozystack-talos/setup/logs/times.jsonl"
    steps = [json.loads(line) for line in times.read_text().splitlines()] if times.exists() else []
    return Run(first, test, disk, load, steps)


def table(runs: list[Run], command: str) -> str:
    """Return the section of docs/performance.md."""
    last = runs[-1]
    cores = len(os.sched_getaffinity(0))
    loads = ", ".join(f"{run.load:.1f}" for run in runs)
    lines = [
        TITLE,
        "",
        f"Written by `{command}` on {date.today().isoformat()}, {cores} cores: an empty cache, README's two commands.",
        "CPU is what the kernel counted for all processes that came of a command, wall time is what passed; on a",
        f"machine that does other things too, only CPU means something. Load before each run: {loads}.",
        "",
        "| | " + " | ".join(f"run {n}: wall s | CPU s" for n in range(1, len(runs) + 1)) + " | target |",
        "|---|" + "---|---|" * len(runs) + "---|",
    ]
    for name, label in (("first", "first call, `build` of `spin-only`"), ("test", "then `test`")):
        wall, cpu = TARGETS[name]
        figures = " | ".join(f"{getattr(run, name)[0]:.0f} | {getattr(run, name)[1]:.0f}" for run in runs)
        target = f"≤ {wall} s" + (f", ≤ {cpu} s of CPU" if cpu else "")
        lines.append(f"| {label} | {figures} | {target} |")
    sizes = " | ".join(f"{run.disk / 1e9:.1f} GB | " for run in runs)
    lines += [f"| on disk after the first call | {sizes} | ≤ {DISK_TARGET / 1e9:.0f} GB |", ""]
    if last.steps:
        begin = min(step["began"] for step in last.steps)
        lines += ["Steps of set-up in the last run; they overlap:", "", "| step | begins at s | wall s | CPU s |"]
        lines += ["|---|---|---|---|"]
        for step in last.steps:
            lines.append(f"| {step['step']} | {step['began'] - begin:.0f} | {step['wall']:.0f} | {step['cpu']:.0f} |")
        done = max(step["began"] + step["wall"] for step in last.steps) - begin
        rest = last.first[1] - sum(step["cpu"] for step in last.steps)
        lines += [f"| the build itself | {done:.0f} | {last.first[0] - done:.0f} | {rest:.0f} |", ""]
    return "\n".join(lines)


def section(page: Path = PAGE) -> str:
    """Return the section as it stands in the page, or nothing."""
    found = re.search(rf"{re.escape(TITLE)}\n.*?(?=^## )", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return found[0].rstrip("\n") + "\n" if found else ""


def write(text: str, page: Path = PAGE) -> None:
    """Put the section into the page, in place of an older one, before the first of the others."""
    whole = page.read_text().replace(section(page) + "\n", "") if section(page) else page.read_text()
    before, mark, after = whole.partition("\n## ")
    page.write_text(f"{before}\n{text}{mark}{after}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="the real images from their registries instead of the lab")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--below", type=Path, help="folder for clone and cache, which are removed again")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    runs: list[Run] = []
    for _ in range(given.runs):
        folder = Path(tempfile.mkdtemp(prefix="first-call.", dir=given.below))
        try:
            runs.append(measure(folder, lab=not given.real))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        words = ["python3 bench/first_call.py", *(["--real"] if given.real else [])]
        text = table(runs, " ".join([*words, f"--runs {len(runs)}"]))
        print(text, flush=True)
    if given.write:
        write(text)


if __name__ == "__main__":
    main()
