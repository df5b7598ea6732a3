"""Places on the caller's machine that results are written to."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Generator
from contextvars import ContextVar
from pathlib import Path

from embedded.engine.errors import EngineError

_READ_ONLY = frozenset({errno.EROFS, errno.EPERM, errno.EACCES})


def kind_at(path: Path) -> str:
    """What lies at a path, links followed: folder, file, device, FIFO or socket; empty where there is nothing."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise EngineError(f"can't look at {path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISFIFO(mode):
        return "FIFO"
    return "socket" if stat.S_ISSOCK(mode) else "device"


@contextlib.contextmanager
def written(target: Path) -> Generator[None]:
    """Turn what the file system refuses while the block writes there into an error that names the place."""
    try:
        yield
    except OSError as error:
        hint = "It is read-only, or marked as unchangeable." if error.errno in _READ_ONLY else ""
        raise EngineError(f"can't write to {target}: {error.strerror or error}", hint) from None


def make_host_folder(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        # the path itself, or the first above it that is no folder
        wrong = next((path for path in (target, *target.parents) if path.exists() and not path.is_dir()), target)
        kind = kind_at(wrong) or "link that leads nowhere"
        place = "it" if wrong == target else str(wrong)
        raise EngineError(f"can't write to {target}: {place} is a {kind}, not a folder") from None
    except OSError as error:
        raise EngineError(f"can't write to {target}: {error.strerror}") from None


def file_place(what: str, target: Path) -> Path:
    """Where a file named `target` is really written: links are followed, as Dagger does.

    A file is written under another name and renamed. Of a device, a FIFO or a socket nothing would be left that way,
    and the engine runs as root, so these are refused.
    """
    kind = kind_at(target)
    if kind not in ("", "file"):
        raise EngineError(f"can't write {what} to {target}: it is a {kind}, not a file")
    return target.resolve() if target.is_symlink() else target


#: Whether the call came from the command line, where --wipe is one word too many; programs get what Dagger's API does.
FROM_COMMAND_LINE: ContextVar[bool] = ContextVar("from_command_line", default=False)


def refuse_to_wipe(target: Path, workdir: Path, exports: Path | None) -> None:
    """Raise EngineError unless a folder may be emptied: it is empty, or an earlier export wrote it (`exports` tells).

    Never one that the caller works in, a checkout, or a home folder: what else is there is not what an export wrote.
    """
    if not target.is_dir() or not any(target.iterdir()):
        return
    place = target.resolve()
    way_out = "Name a folder of its own for the result, or leave out --wipe: what is there stays, then."
    if workdir.resolve().is_relative_to(place):
        raise EngineError(f"--wipe would delete all of {target}, which holds the folder of this call", way_out)
    home = Path(os.environ.get("HOME") or "/").resolve()
    if home.is_relative_to(place):
        what = "is" if place == home else "holds"
        raise EngineError(f"--wipe would delete all of {target}, which {what} your home folder", way_out)
    for name in (".git", "dagger.json"):
        if (place / name).exists():
            raise EngineError(f"--wipe would delete all of {target}, which holds {name}", way_out)
    if not is_own(target, exports):
        raise EngineError(
            f"--wipe would delete all of {target}, and no earlier export wrote that folder",
            f"Empty it yourself if that is meant. {way_out}",
        )
    if exports is not None and exports.resolve().is_relative_to(place):
        raise EngineError(f"--wipe would delete all of {target}, which holds the engine's cache", way_out)


def is_own(target: Path, exports: Path | None) -> bool:
    """Tell whether all in a folder is what exports wrote: it is new, it is empty, or it was that the last time."""
    if not target.is_dir() or not any(target.iterdir()):
        return True
    return exports is not None and (exports / _key(target.resolve())).exists()


def note_export(target: Path, exports: Path | None) -> None:
    """Note that an export wrote a folder, so that another one may empty it."""
    if exports is None:
        return
    with contextlib.suppress(OSError):  # a cache that can't be written costs no more than that
        exports.mkdir(parents=True, exist_ok=True)
        (exports / _key(target.resolve())).touch()


def _key(place: Path) -> str:
    """Name a folder by its place, and by which one it is there: another that came in its stead was not written."""
    status = place.stat()
    return hashlib.sha256(f"{status.st_dev}:{status.st_ino}:{place}".encode(errors="surrogateescape")).hexdigest()[:32]
