"""Small file trees that are written as tars, the same bytes from the same input."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from embedded.lab.oci import EPOCH


@dataclass(frozen=True)
class File:
    """A regular file: its bytes, or the path of a file that has them."""

    content: bytes | Path
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Folder:
    """A folder that exists for itself; those above files need not be named."""

    mode: int = 0o755


Entry = File | Link | Folder


@dataclass
class Tree:
    """Paths (relative, without `./`) and what lies there."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])

    def add(self, path: str, entry: Entry) -> Tree:
        """Put an entry at a path."""
        self.entries[path.strip("/")] = entry
        return self

    def text(self, path: str, content: str, mode: int = 0o644) -> Tree:
        """Put a text file at a path."""
        return self.add(path, File(content.encode(), mode))

    def copy(self, source: Path, path: str, *, skip: frozenset[str] = frozenset()) -> Tree:
        """Put a file or everything of a folder at a path: links as links, files not writable by group and others."""
        if source.is_symlink():
            return self.add(path, Link(str(source.readlink())))
        if source.is_file():
            return self.add(path, File(source, source.stat().st_mode & 0o755))
        self.add(path, Folder())
        for child in sorted(source.iterdir()):
            if child.name not in skip:
                self.copy(child, f"{path}/{child.name}", skip=skip)
        return self

    def _whole(self) -> dict[str, Entry]:
        whole: dict[str, Entry] = {}
        for path in sorted(self.entries):
            for parent in reversed(PurePosixPath(path).parents):
                if str(parent) != ".":
                    whole.setdefault(str(parent), self.entries.get(str(parent), Folder()))
            whole[path] = self.entries[path]
        whole.pop("", None)
        return whole

    def write(self, into: IO[bytes]) -> None:
        """Write the tree as an uncompressed tar, sorted, owned by root, dated with the lab's time."""
        with tarfile.open(fileobj=into, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path, entry in self._whole().items():
                info = tarfile.TarInfo(path)
                info.mtime = EPOCH
                match entry:
                    case Folder(mode):
                        info.type, info.mode = tarfile.DIRTYPE, mode
                        tar.addfile(info)
                    case Link(target):
                        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
                        tar.addfile(info)
                    case File(content, mode):
                        info.mode = mode
                        info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
                        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                            tar.addfile(info, file)
