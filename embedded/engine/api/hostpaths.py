"""Places on the caller's machine that results are written to."""

from __future__ import annotations

import stat
from pathlib import Path

from embedded.engine.errors import EngineError


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
