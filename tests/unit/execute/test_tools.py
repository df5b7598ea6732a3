"""A graph that was sent to the engine once is known to it by an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import dagger
import pytest

from ci.execute.tools import known_by_id


@dataclass
class Context:
    """Remembers what is selected by which id."""

    selected: tuple[str, str] | None = None

    def select_id(self, kind: str, known: str) -> Context:
        return Context((kind, known))


@pytest.mark.parametrize("kind", [dagger.Container, dagger.Directory, dagger.File])
async def test_what_has_an_id_is_sent_by_it_alone(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(_self: object) -> str:
        return "id-1"

    monkeypatch.setattr(kind, "id", known)
    found = await known_by_id(kind(cast("Any", Context())))
    assert type(found) is kind
    assert found._ctx.selected == (kind.__name__, "id-1")
