"""Requests to the engine: several sent as one, and each made without what the SDK does anew for every call of a chain.

Both are done around names of the SDK that are not public. An SDK that lacks one of them is used as it is: it asks for
the same, in more requests, and takes longer.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import anyio
import gql
from anyio.lowlevel import checkpoint
from gql.transport.exceptions import TransportQueryError
from graphql import DocumentNode, FieldNode, NameNode, OperationDefinitionNode, OperationType, SelectionSetNode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    Send = Callable[[gql.GraphQLRequest], Awaitable[Any]]

#: Turns of the event loop for which a request waits for others: the SDK takes some between a call and its request.
_TURNS: Final = 8


@dataclass
class _Waiting:
    """A request that waits for others, and its answer, or that it has to be sent alone."""

    request: gql.GraphQLRequest
    root: FieldNode
    ready: anyio.Event = field(default_factory=anyio.Event)
    answer: Any = None
    alone: bool = True


class _Requests:
    """The requests of a block."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    async def ask(self, request: gql.GraphQLRequest, send: Send) -> Any:
        """Return the answer to a request, which is sent with those that others make at the same time."""
        root = _root(request)
        if root is None:
            return await send(request)
        one = _Waiting(request, root)
        self._waiting.append(one)
        if len(self._waiting) == 1:
            await self._lead(send)
        else:
            await one.ready.wait()
        return await send(request) if one.alone else one.answer

    async def _lead(self, send: Send) -> None:
        """Wait for others, and send them and the first one; whoever gets no answer here asks alone."""
        taken: list[_Waiting] = []
        try:
            for _ in range(_TURNS):
                await checkpoint()
            taken = self._take()
            if len(taken) > 1:
                await _send(taken, send)
        finally:
            for one in taken or self._take():
                one.ready.set()

    def _take(self) -> list[_Waiting]:
        taken, self._waiting = self._waiting, []
        return taken


async def _send(taken: Sequence[_Waiting], send: Send) -> None:
    try:
        answers = await send(_joined([one.root for one in taken]))
    except TransportQueryError:
        # It is of one of them: asked alone, each gets its answer or its own error.
        return
    for number, one in enumerate(taken):
        one.answer, one.alone = {one.root.name.value: answers[_name(number)]}, False


def _root(request: gql.GraphQLRequest) -> FieldNode | None:
    """Return the only field of a request's only query, as the SDK writes them; `None` for any other request."""
    if request.variable_values or len(request.document.definitions) != 1:
        return None
    operation = request.document.definitions[0]
    if not isinstance(operation, OperationDefinitionNode) or operation.operation is not OperationType.QUERY:
        return None
    fields = operation.selection_set.selections
    only = fields[0] if len(fields) == 1 else None
    return only if isinstance(only, FieldNode) and only.alias is None else None


def _joined(roots: Sequence[FieldNode]) -> gql.GraphQLRequest:
    fields = [
        FieldNode(
            alias=NameNode(value=_name(number)),
            name=root.name,
            arguments=root.arguments,
            directives=root.directives,
            selection_set=root.selection_set,
        )
        for number, root in enumerate(roots)
    ]
    selections = SelectionSetNode(selections=tuple(fields))
    query = OperationDefinitionNode(operation=OperationType.QUERY, selection_set=selections)
    return gql.GraphQLRequest(DocumentNode(definitions=(query,)))


def _name(number: int) -> str:
    return f"q{number}"


_open: ContextVar[_Requests | None] = ContextVar("_open", default=None)


@contextmanager
def together() -> Generator[None]:
    """Send requests that are made at the same time in this block, or in tasks that start in it, as one.

    Their answers come together: ask for nothing here that takes long, unless nothing goes on without it.
    """
    before = _open.set(_Requests())
    try:
        yield
    finally:
        _open.reset(before)


class _Converter:
    """A chain's converter of values, as the SDK uses it: made when a value needs it that knows the chain.

    The SDK makes one for each call of a chain, which takes 99 hundredths of the time of that call.
    """

    #: What is read without the chain: all but objects.
    _PLAIN: Final = (str, int, float, bool, list[str], list[int])

    def __init__(self, make: Callable[[Any], Any], shared: Any, chain: Any) -> None:
        self._make, self._shared, self._chain = make, shared, chain

    @cached_property
    def _own(self) -> Any:
        return self._make(self._chain)

    def unstructure(self, value: Any) -> Any:
        """Return a call's arguments as JSON has them."""
        return self._shared.unstructure(value)

    def structure(self, value: Any, kind: Any) -> Any:
        """Return an answer as its type."""
        return (self._shared if kind in self._PLAIN else self._own).structure(value, kind)


def _without_repetition(core: Any) -> None:
    """Have the SDK make converters as they are needed."""
    make = getattr(core, "make_converter", None)
    if make is None or isinstance(make, _Making):
        return
    core.make_converter = _Making(make)


class _Making:
    """What the SDK calls for each call of a chain."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    @cached_property
    def _shared(self) -> Any:
        return self._make(None)

    def __call__(self, chain: Any) -> _Converter:
        return _Converter(self._make, self._shared, chain)


def _joining(session: Any) -> None:
    """Have the SDK send together what is asked in a block of `together`."""
    kind = getattr(session, "ClientSession", None)
    send = getattr(kind, "execute", None)
    if kind is None or send is None or hasattr(send, "joins"):
        return

    async def execute(self: Any, query: gql.GraphQLRequest) -> Any:
        requests = _open.get()
        if requests is None:
            return await send(self, query)
        return await requests.ask(query, lambda request: send(self, request))

    execute.joins = True  # type: ignore[attr-defined]
    kind.execute = execute


_without_repetition(import_module("dagger.client._core"))
_joining(import_module("dagger.client._session"))
