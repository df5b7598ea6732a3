"""A session's folder for what is on its way: removed with the session, or by the next one after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

PREFIX = "scratch-"


@contextlib.contextmanager
def scratch_folder(sessions: Path) -> Generator[Path]:
    """Make a folder below `sessions` that is locked as long as this process uses it, and remove those of the dead."""
    for folder in sessions.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(folder):
            shutil.rmtree(folder)
    folder = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=sessions))
    with _locked(folder):
        # under a name that others look at once it is locked
        folder = folder.rename(sessions / folder.name.removeprefix("."))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold a folder's lock; raises BlockingIOError where another process does."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)
