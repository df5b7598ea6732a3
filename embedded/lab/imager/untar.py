"""Unpacks an image's root filesystem below a folder, as an ordinary user and with the real imager's rules.

Owners and times are dropped, folders become accessible to their owner, nothing is overwritten, hard links and devices
become empty files, parents must come before their children.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

from .errors import ImagerError, os_error_text

if TYPE_CHECKING:
    from pathlib import Path

SELINUX_RECORD = "SCHILY.xattr.security.selinux"
_BLOCK = 512
Members = Iterable[tuple[tarfile.TarInfo, IO[bytes] | None]]


def tarball_members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yields the members of an uncompressed tar file.

    Raises ImagerError `error reading tar header: …` for anything else.
    """
    try:
        archive = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115 - closed below
    except tarfile.ReadError:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return
        problem = "unexpected EOF" if size < _BLOCK else "archive/tar: invalid tar header"
        raise ImagerError(f"error reading tar header: {problem}") from None
    with archive:
        try:
            for member in archive:
                yield member, archive.extractfile(member) if member.isreg() else None
        except tarfile.ReadError:
            raise ImagerError("error reading tar header: unexpected EOF") from None


def untar(members: Members, root: Path) -> dict[Path, str]:
    """Writes members below a folder and returns the SELinux labels that they carry, by path.

    Raises ImagerError when a file cannot be written, such as one that was there before.
    """
    labels: dict[Path, str] = {}
    for member, content in members:
        inside = os.path.normpath("/" + member.name).lstrip("/")
        path = root / inside if inside else root
        try:
            _write(member, content, path)
        except OSError as error:
            raise ImagerError(_failure(member, path, error)) from None
        except (tarfile.TarError, EOFError, zlib.error):
            raise ImagerError(f'error copying data to "{path}": unexpected EOF') from None
        if label := member.pax_headers.get(SELINUX_RECORD):
            labels[path] = label
    return labels


def _write(member: tarfile.TarInfo, content: IO[bytes] | None, path: Path) -> None:
    mode = member.mode & 0o7777
    if member.isdir():
        mode = mode & 0o777 | 0o700
        path.mkdir(exist_ok=True)
        path.chmod(mode)
    elif member.issym():
        path.symlink_to(member.linkname)
    else:
        with path.open("xb") as file:
            while content is not None and (chunk := content.read(1 << 20)):
                file.write(chunk)
        path.chmod(mode)


def _failure(member: tarfile.TarInfo, path: Path, error: OSError) -> str:
    if member.isdir():
        mode = _rwx(member.mode | 0o700)
        return f'error creating directory "{path}" mode d{mode}: {os_error_text("mkdir", path, error)}'
    if member.issym():
        link = os_error_text("symlink", f"{member.linkname} {path}", error)
        return f'error creating symlink "{path}" -> "{member.linkname}": {link}'
    return f'error creating file "{path}" mode -{_rwx(member.mode)}: {os_error_text("open", path, error)}'


def _rwx(mode: int) -> str:
    return "".join(letter if mode >> (8 - place) & 1 else "-" for place, letter in enumerate("rwxrwxrwx"))
