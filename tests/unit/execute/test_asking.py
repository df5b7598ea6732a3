"""Requests that are sent as one, and what the SDK no longer does for each of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import anyio
import dagger
import gql
import pytest
from anyio.lowlevel import checkpoint
from dagger.client._session import ClientSession
from gql.transport.exceptions import TransportQueryError
from graphql import (
    build_schema,
    graphql_sync,  # pyright: ignore[reportUnknownVariableType]  its signature has bare tuples and lists
    print_ast,
)

from ci.common.concurrency import gather_each
from ci.execute.asking import together

SCHEMA = build_schema(
    """
    type Query { image(name: String!): Image! slow: String }
    type Image { digest(salt: Int): String! size: Int! tags: [String!]! }
    """
)


class Image:
    def __init__(self, name: str) -> None:
        self.name = name

    def digest(self, _: Any, salt: int = 0) -> str:
        return f"{self.name}@{salt}"

    def size(self, _: Any) -> int:
        if self.name == "bad":
            raise ValueError("no such image: bad")
        return len(self.name)


class Root:
    def image(self, _: Any, name: str) -> Image:
        return Image(name)


class Answering:
    """Stands for the SDK's session: answers as an engine does, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get_session(self) -> Answering:
        return self

    async def execute(self, query: gql.GraphQLRequest) -> Any:
        text = print_ast(query.document)
        self.asked.append(text)
        await checkpoint()
        done = graphql_sync(SCHEMA, text, root_value=Root())
        if done.errors:
            # As Dagger's engine: with one error there are no data at all.
            raise TransportQueryError(str(done.errors[0]), errors=[{"message": str(done.errors[0])}])
        return done.data


async def ask(session: Answering, query: str) -> Any:
    return await ClientSession.execute(session, gql.GraphQLRequest(query))  # type: ignore[arg-type]


def digest_of(session: Answering) -> Any:
    async def of(name: str) -> str:
        answer = await ask(session, f'{{ image(name: "{name}") {{ digest(salt: 1) }} }}')
        return answer["image"]["digest"]

    return of


async def test_what_is_asked_at_the_same_time_is_one_request() -> None:
    session = Answering()
    with together():
        found = await gather_each(digest_of(session), ["a", "b", "c"])
    assert found == ["a@1", "b@1", "c@1"]
    assert len(session.asked) == 1


async def test_each_stage_of_what_is_asked_is_one_request() -> None:
    session = Answering()

    async def both(name: str) -> tuple[str, int]:
        first = await digest_of(session)(name)
        answer = await ask(session, f'{{ image(name: "{name}") {{ size }} }}')
        return first, answer["image"]["size"]

    with together():
        assert await gather_each(both, ["a", "bb"]) == [("a@1", 1), ("bb@1", 2)]
    assert len(session.asked) == 2


async def test_without_a_block_each_is_sent_alone() -> None:
    session = Answering()
    await gather_each(digest_of(session), ["a", "b"])
    with together():
        await digest_of(session)("c")
    await gather_each(digest_of(session), ["d", "e"])
    assert len(session.asked) == 5
    assert not any("q0" in text for text in session.asked)


async def test_an_error_is_of_the_request_that_has_it() -> None:
    session = Answering()
    failed: dict[str, str] = {}

    async def size(name: str) -> int:
        try:
            answer = await ask(session, f'{{ image(name: "{name}") {{ size }} }}')
        except TransportQueryError as error:
            failed[name] = str(error)
            return -1
        return answer["image"]["size"]

    with together():
        assert await gather_each(size, ["a", "bad", "ccc"]) == [1, -1, 3]
    assert list(failed) == ["bad"]
    assert "no such image: bad" in failed["bad"]


async def test_who_leads_may_be_given_up_and_the_others_are_answered() -> None:
    session = Answering()
    found: list[str] = []
    leading = anyio.CancelScope()

    async def lead() -> None:
        with leading:
            await digest_of(session)("a")

    async def follow() -> None:
        leading.cancel()
        found.append(await digest_of(session)("b"))

    with together(), anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            tasks.start_soon(follow)
    assert found == ["b@1"]


@pytest.mark.parametrize(
    "query",
    [
        'query named($name: String = "x") { image(name: $name) { size } }',
        "{ slow again: slow }",
        "{ once: slow }",
    ],
)
async def test_a_request_that_is_not_the_sdks_goes_alone(query: str) -> None:
    session = Answering()

    async def other(_: int) -> Any:
        request = gql.GraphQLRequest(query, variable_values={"name": "y"} if "$name" in query else None)
        return await ClientSession.execute(session, request)  # type: ignore[arg-type]

    with together():
        await gather_each(other, range(2))
    assert len(session.asked) == 2


def test_a_chain_of_calls_makes_no_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    core: Any = import_module("dagger.client._core")
    dagger.dag.container()
    made: list[object] = []
    original = core.make_json_converter

    def count(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(core, "make_json_converter", count)
    container: Any = dagger.dag.container().from_("a@sha256:1").with_exec(["a"], expect=dagger.ReturnType.ANY)
    assert made == []
    # Arguments are sent as the SDK's own converter writes them, and answers read as it reads them.
    assert container._ctx.selections[-1].args == {"args": ["a"], "expect": "ANY"}
    read = container._ctx.get_value
    one = {"container": {"from": {"withExec": "x"}}}
    assert read(one, str) == "x"
    assert read(one, dagger.Platform) == "x"
    assert read({"container": {"from": {"withExec": ["x"]}}}, list[str]) == ["x"]
    assert read({"container": {"from": {"withExec": "LOCKED"}}}, dagger.CacheSharingMode).name == "LOCKED"
