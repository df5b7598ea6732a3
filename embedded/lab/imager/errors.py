"""The imager's one error type and the words in which a Go program reports a failed system call."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# From Talos v1.14 on the imager ends with a code for each kind of error.
INVALID, DEPENDENCY, FILE, INSTALLATION = 2, 5, 6, 7


class ImagerError(Exception):
    """A build that cannot go on; its text is what the user reads last."""

    code: int | None = None
    """What kind of error it is; the innermost that says so counts."""


@contextmanager
def failing_with(code: int) -> Generator[None]:
    """Gives errors of a step the code of their kind, where they have none yet."""
    try:
        yield
    except ImagerError as error:
        error.code = error.code or code
        raise


def os_error_text(operation: str, path: str | Path, error: OSError) -> str:
    """Words a failed system call as Go does: `open /nope: no such file or directory`."""
    return f"{operation} {path}: {os.strerror(error.errno or 0).lower()}"


def require(path: str | Path) -> os.stat_result:
    """Returns the status of a file that must be there, links followed.

    Raises ImagerError `stat PATH: no such file or directory`.
    """
    try:
        return Path(path).stat()
    except OSError as error:
        raise ImagerError(os_error_text("stat", path, error)) from None


def open_input(path: str | Path) -> BinaryIO:
    """Opens a file for reading bytes.

    Raises ImagerError `open PATH: no such file or directory`.
    """
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ImagerError(os_error_text("open", path, error)) from None
