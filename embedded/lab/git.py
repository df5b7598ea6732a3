"""Make a folder a git repository with one commit: the same files and date give the same objects."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

IDENTITY = "cozystack-talos lab <lab@cozystack-talos.invalid>"
_EXECUTABLE = 0o111


def commit(folder: Path, *, message: str, date: int, tag: str) -> str:
    """Commit all of a folder on its branch `main`, under a lightweight tag; return the commit's 40 hexadecimal digits.

    Args:
        folder: what to commit; it gets a `.git`. Links and empty folders are not known.
        message: the commit's message, without a line end.
        date: seconds since 1970, UTC.
        tag: a name such as v1.6.2.
    """
    git = folder / ".git"
    tree = _tree(git, folder)
    who = f"{IDENTITY} {date} +0000"
    text = f"tree {tree.hex()}\nauthor {who}\ncommitter {who}\n\n{message}\n"
    made = _object(git, "commit", text.encode()).hex()
    for path, content in {
        "HEAD": "ref: refs/heads/main\n",
        "config": "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n",
        "refs/heads/main": f"{made}\n",
        f"refs/tags/{tag}": f"{made}\n",
    }.items():
        (git / path).parent.mkdir(parents=True, exist_ok=True)
        (git / path).write_text(content)
    return made


def _tree(git: Path, folder: Path) -> bytes:
    entries: list[tuple[bytes, bytes]] = []
    for path in folder.iterdir():
        name = path.name.encode()
        if path == git:
            continue
        if path.is_dir():
            # Git sorts a folder as if its name ended in a slash.
            entries.append((name + b"/", b"40000 " + name + b"\0" + _tree(git, path)))
        else:
            mode = b"100755 " if path.stat().st_mode & _EXECUTABLE else b"100644 "
            entries.append((name, mode + name + b"\0" + _object(git, "blob", path.read_bytes())))
    return _object(git, "tree", b"".join(entry for _, entry in sorted(entries)))


def _object(git: Path, kind: str, content: bytes) -> bytes:
    whole = f"{kind} {len(content)}\0".encode() + content
    digest = hashlib.sha1(whole, usedforsecurity=False)
    name = digest.hexdigest()
    path = git / "objects" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zlib.compress(whole))
    return digest.digest()
