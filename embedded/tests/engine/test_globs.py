"""Which folders are looked into for a pattern, and what is found in them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from embedded.engine.api.context import Engine
from embedded.engine.api.globs import glob
from embedded.engine.api.values import Directory
from embedded.engine.buildkit import FileStat

FOLDER, LINK = 1 << 31, 1 << 27
TREE = {
    "": [("a", FOLDER), ("b", FOLDER), ("link", LINK), ("x.txt", 0)],
    "a": [("b", FOLDER), ("x.txt", 0), ("y.txt", 0)],
    "a/b": [("c", FOLDER), ("x.txt", 0)],
    "a/b/c": [("x.txt", 0)],
    "b": [("b", FOLDER), ("x.txt", 0)],
    "b/b": [("x.txt", 0)],
}


class Reader:
    """Lists the folders of the tree, and keeps in mind which."""

    def __init__(self) -> None:
        self.looked: list[str] = []

    async def entries(self, directory: Directory, path: str = "") -> list[FileStat]:
        self.looked.append(path)
        return [FileStat(name, mode, 0, "") for name, mode in TREE[path]]


@pytest.mark.parametrize(
    ("pattern", "found", "looked"),
    [
        ("*", ["a/", "b/", "link", "x.txt"], [""]),
        ("a/*.txt", ["a/x.txt", "a/y.txt"], ["", "a"]),
        ("a/b/**", ["a/b/c/", "a/b/c/x.txt", "a/b/x.txt"], ["", "a", "a/b", "a/b/c"]),
        ("a/b/x.txt", ["a/b/x.txt"], ["", "a", "a/b"]),
        ("*/b/x.txt", ["a/b/x.txt", "b/b/x.txt"], ["", "a", "a/b", "b", "b/b"]),
        ("b/?/*", ["b/b/x.txt"], ["", "b", "b/b"]),
        ("link/*", [], [""]),
        ("no/such/*", [], [""]),
        ("x.txt/*", [], [""]),
        ("./a//b/../*.txt", ["a/x.txt", "a/y.txt"], ["", "a"]),
        ("*/", ["a/", "b/", "link", "x.txt"], [""]),
        ("{a,b}/x.txt", [], [""]),
        ("**/y.txt", ["a/y.txt"], sorted(TREE)),
    ],
)
async def test_only_what_a_pattern_can_mean_is_looked_into(pattern: str, found: list[str], looked: list[str]) -> None:
    reader: Any = Reader()

    assert await glob(cast("Engine", reader), Directory(), pattern) == found
    assert sorted(reader.looked) == looked
