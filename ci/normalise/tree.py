"""A folder as a tar whose bytes follow from names, contents, modes and links alone."""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from collections.abc import Iterator


def tar_folder(folder: Path, out: Path, epoch: int) -> None:
    """Write what a folder holds as an uncompressed tar, names relative to it, in the form of GNU tar.

    Sorted by the names' bytes; owners are 0:0 without names, all times are `epoch`; modes, symbolic and hard links and
    device nodes are kept, extended attributes are not. Raises for sockets.
    """
    if not folder.is_dir():
        raise NormaliseError(str(folder), "no such folder")
    # Names go out as the bytes that they are, whatever the locale.
    encoding = sys.getfilesystemencoding()
    with (
        written(out) as file,
        tarfile.open(
            fileobj=file, mode="w", format=tarfile.GNU_FORMAT, encoding=encoding, errors="surrogateescape"
        ) as tar,
    ):
        for path in _below(folder):
            _add(tar, path, path.relative_to(folder), epoch)


def _below(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path))


def _add(tar: tarfile.TarFile, path: Path, name: Path, epoch: int) -> None:
    if path.is_socket():
        raise NormaliseError(str(path), "a socket has no place in an image")
    # The library finds hard links by itself: its first name has the content, the others point to it.
    info = tar.gettarinfo(path, str(name))
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = epoch
    if info.isreg():
        with path.open("rb") as content:
            tar.addfile(info, content)
    else:
        tar.addfile(info)
