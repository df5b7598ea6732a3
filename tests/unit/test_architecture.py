"""What docs/architecture.md and CONTRIBUTING.md say of the code is so."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest

from tests.unit.test_rooms import FACE, FUNCTIONS, ORDER

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs/architecture.md").read_text()
PAGES = {name: (TOP / name).read_text() for name in ("docs/architecture.md", "CONTRIBUTING.md", "README.md")}

#: Words in backquotes that are paths; `NAME`, `FORMAT` and `*` stand for something else.
_PATH = re.compile(r"`((?:ci|tests|docs|embedded|variants|deploy|bench)/[A-Za-z0-9_./*-]*)`")


def here(path: str) -> bool:
    """Whether the top folder has what a path begins with: the container of the unit tests has not all of it."""
    return (TOP / path.partition("/")[0]).exists()


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    named = sorted({path for path in _PATH.findall(PAGES[page]) if not re.search("NAME|FORMAT", path) and here(path)})
    assert [path for path in named if not list(TOP.glob(path.rstrip("/")))] == []


def test_there_are_paths_to_look_at() -> None:
    assert len(_PATH.findall(PAGE)) > 40


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[page])
    paths = [posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) for link in links]
    assert [path for path in paths if here(path) and not (TOP / path).exists()] == []


def test_names_in_the_code_that_the_page_gives_exist() -> None:
    """`NAME` in `ci/…py`: the file has it."""
    named = re.findall(r"`([A-Za-z_]+)`\s(?:in|\()\s?`?(?:one of )?`?(ci/[a-z_/]+\.py)`", PAGE)
    assert len(named) > 5
    assert [(name, path) for name, path in named if name not in (TOP / path).read_text()] == []


def test_the_page_shows_the_rooms_in_the_order_of_imports() -> None:
    (drawn,) = [block for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if "common" in block]
    lines = [re.sub(r"\s+\(.*\)", "", line).split() for line in drawn.splitlines()]
    face = [*(f"{module.removeprefix('ci.')}.py" for module in sorted(FACE)), FUNCTIONS]
    assert [sorted(line) for line in lines] == [sorted(face if rooms == ("face",) else rooms) for rooms in ORDER]


def test_every_room_has_a_row() -> None:
    rooms = {path.name for path in (TOP / "ci").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {room for room in rooms if f"`ci/{room}/`" not in PAGE} == set()


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150
