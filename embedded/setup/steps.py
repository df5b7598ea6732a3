"""A set-up step: makes one folder, whole or not at all, once for all who ask at the same time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embedded.setup import process
from embedded.setup.contents import note_contents
from embedded.setup.errors import SetupError
from embedded.setup.paths import paths
from embedded.setup.progress import Detail, Reporter


@dataclass
class Job:
    """What a step's builder works with: it runs programs that log to the step's file."""

    log: Path
    detail: Detail = field(default=lambda _: None)
    seconds: float = 0.0
    """Processor time of the programs that have run."""

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        check: bool = True,
        downloads: re.Pattern[str] | None = None,
    ) -> str:
        """Run a program; its lines go to the log, and the newest is shown. Raises SetupError when it fails."""
        return process.run(
            command, log=self.log, env=env, cwd=cwd, on_line=self.detail, on_end=self._took, check=check,
            downloads=downloads,
        )  # fmt: skip

    def _took(self, seconds: float) -> None:
        self.seconds += seconds

    @contextmanager
    def timed(self, title: str) -> Generator[None]:
        """Note in `logs/times.jsonl` what the block took, for `bench/first_call.py`."""
        began, wall = time.time(), time.monotonic()
        yield
        row = {"step": title, "began": began, "wall": time.monotonic() - wall, "cpu": self.seconds}
        times = paths().setup / "logs" / "times.jsonl"
        times.parent.mkdir(parents=True, exist_ok=True)
        with times.open("a") as file:
            file.write(json.dumps(row) + "\n")


Builder = Callable[[Path, Job], None]


@dataclass(frozen=True)
class Step:
    """One step: `build` fills an empty folder beside the final one, which is renamed when it is complete."""

    title: str
    folder: Path
    build: Builder
    ready: Callable[[Path], bool] = Path.is_dir
    """Is what stands there whole? It may have lost what it links to since."""


@contextmanager
def locked(name: str, waiting: Callable[[], None], *, shared: bool = False) -> Generator[None]:
    """Hold the lock of that name (`flock`); calls `waiting` first if another process has it."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _lock_file(name).open("w") as handle:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, kind)
        yield


@contextmanager
def locked_if_free(name: str) -> Generator[bool]:
    """Hold the lock of that name if nobody else does; the value says whether."""
    with _lock_file(name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _lock_file(name: str) -> Path:
    file = paths().setup / "locks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@contextmanager
def disk_errors(log: Path) -> Generator[None]:
    """Turn an error of the file system into one that a person can act on."""
    try:
        yield
    except OSError as error:
        text = f"{error.strerror or error}: {error.filename or paths().cache}"
        hint = process.hint_for(os.strerror(error.errno)) if error.errno else ""
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            hint = "set XDG_CACHE_HOME to a folder that can be written"
        raise SetupError(text, hint=hint, log=log if log.exists() else None) from error


def remove(path: Path) -> None:
    """Remove a folder or file, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def ensure(step: Step, report: Reporter) -> Path:
    """Make the step's folder unless it stands there whole; returns it.

    A second process that asks at the same time waits for the first. What an interrupted one left is cleared away.
    """
    folder = step.folder
    log = paths().setup / "logs" / f"{folder.name}.log"
    if step.ready(folder):
        return folder
    with disk_errors(log):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.name, lambda: report.note(f"{step.title}: another set-up is at it; waiting for it")):
            if not step.ready(folder):
                log.unlink(missing_ok=True)
                _build(step, log, report)
    return folder


def _build(step: Step, log: Path, report: Reporter) -> None:
    aside = step.folder.with_name(f".{step.folder.name}.new")
    with report.step(step.title) as detail:
        remove(aside)
        aside.mkdir()
        job = Job(log, detail)
        try:
            with job.timed(step.title):
                step.build(aside, job)
            note_contents(aside, step.folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        old = step.folder.with_name(f".{step.folder.name}.old")
        remove(old)
        if step.folder.exists():
            step.folder.rename(old)  # what runs from there keeps its files until the new ones stand
        aside.rename(step.folder)
        remove(old)
