"""What images of a digest are, kept from session to session: a digest's config, and what its files are, never change.

A file for each answer, by what it answers. Whatever can't be read or written is asked for anew.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

MOST = 4096
"""Answers that are kept; with more, all are forgotten."""
LARGEST = 1 << 20
"""Bytes of the largest answer that is kept."""


class Kept:
    """Answers in a folder; without a folder none are kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, *what: str) -> Any:
        """Return the answer to a question, None where none is kept."""
        with contextlib.suppress(OSError, ValueError):
            if self._folder is not None:
                return json.loads(self._path(self._folder, what).read_bytes())
        return None

    def put(self, answer: Any, *what: str) -> None:
        """Keep the answer to a question."""
        text = json.dumps(answer)
        if self._folder is None or len(text) > LARGEST:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._path(self._folder, what)
            if len(os.listdir(self._folder)) >= MOST:  # noqa: PTH208 - nothing but the number counts
                for one in self._folder.iterdir():
                    one.unlink(missing_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.write_text(text)
            part.replace(path)

    def _path(self, folder: Path, what: tuple[str, ...]) -> Path:
        return folder / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:40]}.json"


def packed(contents: bytes) -> str:
    """Return a file's contents as text that JSON can hold."""
    return base64.b64encode(contents).decode()


def unpacked(text: str) -> bytes:
    """Return what was packed."""
    return base64.b64decode(text)
