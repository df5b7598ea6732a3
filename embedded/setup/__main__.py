"""Prepares all that the embedded engine needs: `./daggerw --engine setup [--lab] [--dev]`.

It runs on the machine's own Python and its standard library.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it may be started with any Python; the imports below need 3.11
    sys.exit(f"daggerw: set-up needs Python 3.11 or newer, not {sys.version.split()[0]}: name one in DAGGERW_PYTHON")

import argparse
import os
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from embedded.setup.errors import SetupError
from embedded.setup.paths import EMBEDDED, paths, tool
from embedded.setup.programs import GO_PROGRAMS, PROGRAMS
from embedded.setup.progress import reporter
from embedded.setup.steps import disk_errors
from embedded.setup.tasks import run

ARCHITECTURES = ("x86_64", "aarch64")
"""Those that all the Python packages have wheels for."""
NEEDED_SPACE = 3 * 1000**3
"""What the first set-up takes at its fullest, in bytes; it keeps about a third of that."""


def main() -> int:
    """Run set-up; returns the exit code."""
    arguments = _parser().parse_args()
    code = guarded(lambda: _prepare(arguments))
    if code == 0 and arguments.then:
        become_engine_python(arguments.then)
    return code


def guarded(work: Callable[[], object]) -> int:
    """Do the work; errors and interruptions become a message and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        work()
    except SetupError as error:
        print(f"daggerw: set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("daggerw: set-up interrupted; the next call goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="daggerw --engine setup", description=__doc__)
    parser.add_argument("--lab", action="store_true", help="also what the stand-in upstream (daggerw --lab) needs")
    parser.add_argument("--for-builds", action="store_true", help="with --lab: also its images that builds ask for")
    parser.add_argument("--dev", action="store_true", help="also the tools for checks and tests of embedded/ itself")
    parser.add_argument("--stamp", type=Path, help="write this file at the end: the programs to keep, one a line")
    parser.add_argument("then", nargs="*", metavar="-- ARGUMENT", help="run the engine's Python with these at the end")
    return parser


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _check_machine() -> None:
    if sys.platform != "linux":
        raise SetupError(
            f"the embedded engine runs on Linux, this is {sys.platform}",
            hint="install Dagger and a container runtime, then `dagger` (or daggerw) works here too",
        )
    if platform.machine() not in ARCHITECTURES:
        raise SetupError(
            f"the embedded engine runs on {' and '.join(ARCHITECTURES)}, this is {platform.machine()}",
            hint="install Dagger and a container runtime, or run daggerw on such a machine",
        )
    if os.geteuid() != 0:
        raise SetupError(
            "the embedded engine runs as root, for its containers; you are not",
            hint="run it with sudo or as root, or install Dagger and a container runtime",
        )


def _prepare(arguments: argparse.Namespace) -> None:
    from embedded.setup import golang
    from embedded.setup.moved import settle
    from embedded.setup.stages import stages

    _check_machine()
    report, began = reporter(), time.monotonic()
    settle(report)
    if not paths().bin.is_dir():
        _check_space()
    images = arguments.lab and (arguments.for_builds or _builds(arguments.then))
    tasks = stages(report, lab=arguments.lab, dev=arguments.dev, images=images)
    report.total = len(tasks)
    with report.live(), golang.building(report):
        run(tasks)
    golang.clear_caches()
    if tasks:
        report.note(f"done in {time.monotonic() - began:.0f} s; from now on a call begins within a second")
    if arguments.stamp:
        _write_stamp(arguments.stamp, arguments.lab)


def _builds(words: list[str]) -> bool:
    """Tell whether a command line is one that may build something: what it needs can be made meanwhile."""
    return "call" in words and not {"--help", "-h", "variants", "plan", "ci-files"} & set(words)


def _check_space() -> None:
    root = paths().cache
    while not root.exists():
        root = root.parent
    stat = os.statvfs(root)
    if (free := stat.f_bavail * stat.f_frsize) < NEEDED_SPACE:
        raise SetupError(
            f"set-up needs {NEEDED_SPACE / 1000**3:.0f} GB of free disk below {paths().cache}, there is"
            f" {free / 1000**3:.1f} GB",
            hint="free some space, or set XDG_CACHE_HOME to a folder on another disk",
        )


def _write_stamp(stamp: Path, lab: bool) -> None:
    """Tell daggerw that all is there: first the engine's Python, then each program it counts on."""
    names = [*GO_PROGRAMS, *(name for name, row in PROGRAMS.items() if lab or row.group == "engine")]
    lines = [str(paths().venv / "bin/python"), *(str(tool(name)) for name in names)]
    with disk_errors(stamp):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        aside = stamp.with_name(f".{stamp.name}.{os.getpid()}")
        aside.write_text("".join(f"{line}\n" for line in lines))
        aside.rename(stamp)


def become_engine_python(arguments: list[str]) -> None:
    """Replace this process by the engine's Python."""
    python = str(paths().venv / "bin/python")
    env = os.environ | {"PYTHONPATH": str(EMBEDDED.parent), "PYTHONSAFEPATH": "1"}
    sys.stderr.flush()
    os.execve(python, [python, *arguments], env)


if __name__ == "__main__":
    sys.exit(main())
