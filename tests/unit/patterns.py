"""Paths against the patterns of .dockerignore files, as BuildKit and Dagger read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def kept(paths: Iterable[str], ignore: list[str]) -> list[str]:
    """The paths that are not ignored: the last pattern decides that fits a path or a folder above it."""
    return [path for path in paths if not _last(path, ignore)]


def included(paths: Iterable[str], include: list[str]) -> list[str]:
    """The paths that are included by dagger.json: the same with the opposite sign."""
    return [path for path in paths if _last(path, include)]


def _last(path: str, patterns: list[str]) -> bool:
    parts = path.split("/")
    whole = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    answer = False
    for pattern in patterns:
        fits = re.compile(_regex(pattern.removeprefix("!")))
        if any(fits.fullmatch(above) for above in whole):
            answer = not pattern.startswith("!")
    return answer


def _regex(pattern: str) -> str:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(word) or re.escape(word) for word in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))
