"""What differs between the SDKs of Dagger 0.21 and 1.0."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import dagger
import pytest

from ci.execute.sdk import commit_of, git_tag, known_by_id, with_image

TOP = Path(__file__).parents[3]


@dataclass
class Context:
    """Remembers what is selected by which id."""

    selected: tuple[str, str] | None = None

    def select_id(self, kind: str, known: str) -> Context:
        return Context((kind, known))


@pytest.mark.parametrize("kind", [dagger.Container, dagger.Directory, dagger.File, dagger.GitRef])
async def test_what_has_an_id_is_sent_by_it_alone(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def known(self: object) -> str:
        asked.append(self)
        return "id-1"

    monkeypatch.setattr(kind, "id", known)
    given = kind(cast("Any", Context()))
    found = await known_by_id(given)
    assert type(found) is kind
    assert found._ctx.selected == (kind.__name__, "id-1")
    assert [await found.id() for _ in range(2)] == ["id-1", "id-1"]
    assert asked == [given]


class Old:
    """A git reference in 0.21's SDK."""

    async def commit(self) -> str:
        return "0" * 40


class New(Old):
    """The same in 1.0's, where the older name warns."""

    async def commit(self) -> str:
        raise DeprecationWarning

    async def commit_sha(self) -> str:
        return "1" * 40


@pytest.mark.parametrize(("ref", "commit"), [(Old(), "0" * 40), (New(), "1" * 40)])
async def test_a_commit_is_asked_for_by_the_name_that_the_sdk_has(ref: Any, commit: str) -> None:
    assert await commit_of(ref) == commit


class Asked:
    """Takes down what is looked up; 0.21's API."""

    def from_(self, address: str) -> tuple[str, str]:
        return ("image", address)

    def tag(self, name: str) -> tuple[str, str]:
        return ("tag", name)


class AskedOf1(Asked):
    """The same in 1.0's API, which keeps what a tag names in dagger.lock if it is not told otherwise."""

    def from_(self, address: str, *, no_lock: bool = False) -> Any:
        return ("image", address, "live" if no_lock else "locked")

    def tag(self, name: str, *, no_lock: bool = False) -> Any:
        return ("tag", name, "live" if no_lock else "locked")


def test_a_tag_is_looked_up_live_whatever_a_lock_holds() -> None:
    old, new = cast("Any", Asked()), cast("Any", AskedOf1())
    assert [with_image(old, "a:v1"), git_tag(old, "v1")] == [("image", "a:v1"), ("tag", "v1")]
    assert [with_image(new, "a:v1"), git_tag(new, "v1")] == [("image", "a:v1", "live"), ("tag", "v1", "live")]


def test_the_sdk_that_is_installed_is_asked_in_its_own_words() -> None:
    """Of 0.21 or of 1.0: whichever these tests run with."""
    live = hasattr(dagger.GitRef, "commit_sha")
    container, repository = dagger.dag.container(), dagger.dag.git("https://example.com/x")
    made: list[Any] = [with_image(container, "a:v1"), git_tag(repository, "v1")]
    found = [one._ctx.selections[-1] for one in made]
    assert [one.name for one in found] == ["from", "tag"]
    assert [one.args.get("noLock") for one in found] == [True if live else None] * 2


#: What asks a registry or a git repository what a name is.
LOOKUP = re.compile(r".*\.from_|.*\bgit\(.*\)\.(tag|branch|ref)")
#: What names an image by its digest: nothing is looked up for it.
PINNED = re.compile(r"pins\.[A-Z]+|pinned|.*\.pinned")


def lookups(source: str) -> list[str]:
    """What a source takes an image or a git tag by that may be another one tomorrow, without `ci.execute.sdk`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute) and LOOKUP.fullmatch(ast.unparse(call.func))
        if call.args and not PINNED.fullmatch(ast.unparse(call.args[0]))
    ]


def test_no_tag_is_looked_up_past_the_place_that_keeps_it_out_of_a_lock() -> None:
    sources = {path: path.read_text() for path in (TOP / "ci").rglob("*.py")}
    found = {path.name: names for path, text in sources.items() if path.name != "sdk.py" and (names := lookups(text))}
    assert found == {}
    assert lookups("dag.container().from_(tagged)") == ["tagged"]
    assert lookups("dag.git(url).tag(name)") == ["name"]
    assert lookups("dag.container().from_(pins.PYTHON)") == []
