"""What the module asks of the engine when it tells its types, which it does in every session."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, cast

import dagger
import pytest
from dagger.client._core import Context

import ci.main
from ci.api import ask_once

#: Each request takes milliseconds on a real engine, of Python's time and of its own.
MOST_REQUESTS = 70


def asked(value: Any) -> str:
    if isinstance(value, list):
        return str([asked(one) for one in value])  # pyright: ignore[reportUnknownVariableType]
    return str(value)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Answer each request with an id that says what was asked for; return the requests."""
    counted: Counter[str] = Counter()

    async def execute(self: Context, return_type: Any = None) -> str:
        await self.resolve_ids()
        query = str(
            [(one.name, sorted((name, asked(arg)) for name, arg in one.args.items())) for one in self.selections]
        )
        counted[query] += 1
        return hashlib.sha256(query.encode()).hexdigest()

    monkeypatch.setattr(Context, "execute", execute)
    return counted


async def test_the_types_are_told_with_each_type_asked_for_once(
    requests: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = cast("Any", ci.main.CozystackTalos).__dagger_module__
    module._main_name = "CozystackTalos"
    module._main = module.get_object("CozystackTalos")
    told: str = await module._typedefs()
    assert {name for name, times in requests.items() if times > 1} == set()
    assert requests.total() < MOST_REQUESTS
    functions = [name for name in module._main.functions if name]
    assert len(functions) > 30
    assert [name for name in functions if not any(f"('name', '{name}')" in request for request in requests)] == []
    monkeypatch.setattr(dagger.TypeDef, "id", cast("Any", dagger.TypeDef.id).__wrapped__)
    assert await module._typedefs() == told
    assert requests.total() > 4 * MOST_REQUESTS


async def test_what_differs_is_asked_for_apart(requests: Counter[str]) -> None:
    def text() -> dagger.TypeDef:
        return dagger.dag.type_def().with_kind(dagger.TypeDefKind.STRING_KIND)

    def listed(of: dagger.TypeDef) -> dagger.TypeDef:
        return dagger.dag.type_def().with_list_of(of)

    number = dagger.dag.type_def().with_kind(dagger.TypeDefKind.INTEGER_KIND)
    made = [text(), number, text().with_optional(True), listed(text()), listed(number), listed(listed(text()))]
    ids = [await one.id() for one in made]
    assert len(set(ids)) == len(made)
    before = requests.total()
    assert [await text().id(), await listed(text()).id()] == [ids[0], ids[3]]
    assert requests.total() == before


async def test_what_failed_is_asked_for_again() -> None:
    class Kind:
        def __init__(self, context: Any) -> None:
            self._ctx = context

        async def id(self) -> str:
            answers.pop()
            return "known"

    class Asked:
        conn, selections = object.__new__(type("Connection", (), {})), ()

    answers: list[int] = []
    ask_once(Kind)
    one = Kind(Asked())
    with pytest.raises(IndexError):
        await one.id()
    answers.append(1)
    assert [await one.id(), await Kind(Asked()).id()] == ["known", "known"]
