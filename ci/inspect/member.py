"""What all archives and file systems say of a file in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.inspect.models import EntryType


@dataclass(frozen=True)
class Member:
    """A file, folder, link or device of an archive or file system; size in bytes, time in seconds since 1970."""

    path: str
    type: EntryType
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
