"""Gives files that are the same one place on the disk, once a daemon has ended and nothing of its cache is mounted.

BuildKit copies: what a step makes is there once in the step's result, and once in each folder that it is copied to.
And what it has pulled from the lab's registry lies in the lab, too. A third of the disk is such copies of large files.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LEAST: Final = 1 << 20
"""Smaller files are not worth a look."""
RESULTS: Final = ("", "out", "assets", "_out", "sealed")
"""Where, in a snapshot, steps of this project write and their results are copied to. A root file system's twenty
thousand files are not looked at, and no cache that programs write to."""
_CHUNK: Final = 1 << 20


def share(buildkit: Path, lab: Path, aside: Path, seconds: float) -> int:
    """Share what is the same below BuildKit's folder, and with the lab's blobs; returns how many bytes that freed.

    Interrupted anywhere, each file is the old one or the shared one. `aside` is a name on the same file system, for a
    link that is just made. What is left after so many seconds is done another time.
    """
    end = time.monotonic() + seconds
    freed = 0
    with contextlib.suppress(OSError):
        aside.unlink(missing_ok=True)
        for kept, copy in (*_blobs(buildkit, lab), *_copies(buildkit)):
            if time.monotonic() > end:
                break
            with contextlib.suppress(OSError):
                freed += _link(kept, copy, aside, end)
    return freed


def _blobs(buildkit: Path, lab: Path) -> Iterator[tuple[Path, Path]]:
    """Return BuildKit's blobs that the lab has: their names are their digests."""
    for blob in buildkit.glob("runc-*/content/blobs/sha256/*"):
        with contextlib.suppress(OSError):
            mine = lab / "registry/sha256" / blob.name
            if blob.stat().st_size >= LEAST and mine.stat().st_size == blob.stat().st_size:
                yield blob, mine


def _copies(buildkit: Path) -> Iterator[tuple[Path, Path]]:
    """Return files that look like copies: of two snapshots, with one size, owner, mode, and time to the nanosecond.

    Files with a time of whole seconds come out of archives, where it says nothing.
    """
    alike: dict[tuple[int, ...], list[tuple[str, Path]]] = defaultdict(list)
    for snapshot in sorted(buildkit.glob("runc-*/snapshots/snapshots/[0-9]*"), key=lambda one: int(one.name)):
        for name in RESULTS:
            for path in _large(snapshot / "fs" / name, deep=bool(name)):
                status = path.lstat()
                if status.st_mtime_ns % 10**9:
                    key = (status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid)
                    alike[key].append((snapshot.name, path))
    for _, files in sorted(alike.items(), reverse=True):  # the largest first: the time may not do for all
        first, kept = files[0]
        yield from ((kept, path) for name, path in files[1:] if name != first)


def _large(folder: Path, *, deep: bool) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if deep:
                    yield from _large(Path(entry.path), deep=True)
            elif entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size >= LEAST:
                yield Path(entry.path)


def _link(kept: Path, copy: Path, aside: Path, end: float) -> int:
    """Put a link to the one in place of the other, if they are the same; returns the bytes that this freed."""
    before = copy.lstat()
    if os.path.samestat(kept.lstat(), before) or not _same(kept, copy, end):
        return 0
    os.link(kept, aside)
    aside.replace(copy)
    return before.st_blocks * 512 if before.st_nlink == 1 else 0


def _same(one: Path, other: Path, end: float) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while time.monotonic() <= end:
            piece = first.read(_CHUNK)
            if piece != second.read(_CHUNK):
                return False
            if not piece:
                return True
    return False
