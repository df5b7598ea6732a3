"""Files as they are written here: whole or not at all, under a mode of their own."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from ci.common.errors import CozystackTalosError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path


class NormaliseError(CozystackTalosError):
    """A file is not what the imager or the engine writes, so nothing can be said about what chance left in it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type[NormaliseError], tuple[str, str]]:
        return type(self), (self.name, self.reason)


@contextmanager
def written(path: Path) -> Generator[BinaryIO]:
    """Give a file to write that takes its place at `path`, mode 0644, once it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def ended(work: Callable[[], None], out: Path) -> int:
    """Do a program's work and return its exit code: 0, or 1 with one line on standard error."""
    try:
        work()
    except CozystackTalosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or out}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0
