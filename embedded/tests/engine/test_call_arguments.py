"""What a function's process gets of its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from embedded.engine.module.bound import BoundModule
from embedded.engine.module.calls import Call
from embedded.engine.module.source import ModuleSource
from embedded.engine.module.typedefs import ArgDef, FunctionDef, ModuleDef, TypeDef


class Runner:
    """Takes calls and does nothing."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def run(self, call: Call) -> Any:
        self.calls.append(call)
        return {}


@pytest.mark.parametrize(
    ("default", "given", "handed_on"),
    [
        ("null", None, ()),
        ("null", "x", (("a", '"x"'),)),
        ('"x"', None, (("a", "null"),)),
        (None, None, (("a", "null"),)),
    ],
)
async def test_a_null_that_is_the_default_is_left_to_the_sdk(
    default: str | None, given: Any, handed_on: tuple[tuple[str, str], ...]
) -> None:
    source = ModuleSource(Path("x"), Path("x"), "probe", Path("x"), ())
    constructor = FunctionDef("", TypeDef(), args=(ArgDef("a", TypeDef("STRING_KIND"), default=default),))
    types = ModuleDef(objects=(TypeDef("OBJECT_KIND", source.main_object, constructor=constructor),))
    runner = Runner()
    bound = BoundModule(source, types, cast("Any", runner), Path("x"))
    await bound.resolve(None, cast("Any", None), "Query", source.constructor, {"a": given})
    assert [call.args for call in runner.calls] == [handed_on]
