"""An engine that answers everything, in rounds: all that was asked before anything had to wait for an answer.

Rounds are what a call takes of an engine that is far away, or slow to answer: the longest chain of requests of which
each needs the answer to the one before it.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import gql
from anyio.lowlevel import checkpoint
from dagger.client._session import ClientSession
from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    InlineFragmentNode,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    #: Fields from the query on, each with its arguments: what a value is asked of.
    Path = list[tuple[str, Mapping[str, Any]]]
    Answer = Callable[[Path], Any]

#: Turns of the event loop in which nothing further is asked: whoever could ask has done so.
_CALM = 100


class Rounds:
    """Answers by the last field of a query, a value or a function of the whole path; ids follow from the path."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self._waiting: list[anyio.Event] = []
        #: What was asked in each round: requests, each with the last fields of its queries.
        self.rounds: list[list[list[str]]] = []
        self._asked: list[list[str]] = []

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return sum(map(len, self.rounds))

    async def execute(self, request: gql.GraphQLRequest) -> Any:
        """Answer a request of the SDK once nobody asks for anything further."""
        (operation,) = request.document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        paths = {_key(field): _path(field) for field in operation.selection_set.selections}
        self._asked.append([path[-1][0] for path in paths.values()])
        event = anyio.Event()
        self._waiting.append(event)
        if len(self._waiting) == 1:
            await self._lead()
        else:
            await event.wait()
        return {key: self._answer(path) for key, path in paths.items()}

    async def _lead(self) -> None:
        seen = 0
        while seen < len(self._waiting):
            seen = len(self._waiting)
            for _ in range(_CALM):
                await checkpoint()
        waiting, self._waiting = self._waiting, []
        self.rounds.append(self._asked)
        self._asked = []
        for event in waiting:
            event.set()

    def _answer(self, path: Path) -> Any:
        name = path[-1][0]
        found = hashlib.sha256(repr(path).encode()).hexdigest() if name in ("id", "sync") else self._answers[name]
        found = found(path) if callable(found) else found
        for field, _ in reversed(path[1:]):
            found = {field: found}
        return found


class _Session(ClientSession):
    """The SDK's session, with an engine behind it that was not connected to."""

    def __init__(self, engine: Rounds) -> None:
        self._engine = engine

    async def get_session(self) -> Any:
        return self._engine


def answering(engine: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the SDK ask this engine, which needs no schema for it."""

    async def request(context: Any) -> gql.GraphQLRequest:
        return _request(context.selections)

    core = import_module("dagger.client._core")
    monkeypatch.setattr(core.SharedConnection, "session", _Session(engine))
    monkeypatch.setattr(core.Context, "request", request)


def _request(selections: Any) -> gql.GraphQLRequest:
    below: FieldNode | InlineFragmentNode | None = None
    for field in reversed(selections):
        if below is not None and field.inline_type:
            below = InlineFragmentNode(selection_set=SelectionSetNode(selections=(below,)))
        below = FieldNode(
            name=NameNode(value=field.name),
            alias=None,
            arguments=tuple(
                ArgumentNode(name=NameNode(value=name), value=StringValueNode(value=value))
                for name, value in field.args.items()
            ),
            selection_set=SelectionSetNode(selections=(below,)) if below else None,
        )
    assert below is not None
    query = OperationDefinitionNode(operation=OperationType.QUERY, selection_set=SelectionSetNode(selections=(below,)))
    return gql.GraphQLRequest(DocumentNode(definitions=(query,)))


def _key(field: Any) -> str:
    return (field.alias or field.name).value


def _path(field: Any) -> Path:
    path: Path = []
    while True:
        if not isinstance(field, InlineFragmentNode):
            path.append((field.name.value, {arg.name.value: arg.value.value for arg in field.arguments}))
        if field.selection_set is None:
            return path
        (field,) = field.selection_set.selections
