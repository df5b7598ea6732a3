"""Queries: read, checked against a schema, and run.

To check a query takes 2 ms and more, a joined one a hundred, and a module asks the same again and again with other
texts in it: what differs in its texts alone is checked once, and not again in later sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    execute,  # pyright: ignore[reportUnknownVariableType]  its signature has bare tuples and lists
    parse,
    validate,
)
from graphql.language import FieldNode, OperationDefinitionNode

from embedded.engine.api.registry import resolve

_TEXT = re.compile(r'"""(?:\\"""|.)*?"""|"(?:\\.|[^"\\\n])*"', re.DOTALL)


DIGITS = 64
"""Characters of a digest."""
LARGEST = 1 << 20
"""Bytes of a file of valid queries; a larger one is begun anew."""


class Queries:
    """The queries to one schema, which has the types of a module or of none.

    `known` is a file of this schema's, with the digests of what was valid in earlier sessions.
    """

    def __init__(self, schema: GraphQLSchema, module_sdl: str = "", known: Path | None = None) -> None:
        self.schema = schema
        self.module_sdl = module_sdl
        self._known = known
        self._valid = _read(known)

    def _check(self, query: str, document: DocumentNode) -> list[GraphQLError]:
        shape = shape_of(query)
        name = "" if shape is None else hashlib.sha256(shape.encode()).hexdigest()
        if name in self._valid:
            return []
        errors = validate(self.schema, document)
        if name and not errors:
            self._valid.add(name)
            _add(self._known, name)
        return errors

    async def run(
        self, query: str, caller: Any, context: Any, variables: dict[str, Any] | None, operation: str | None
    ) -> ExecutionResult:
        """Run a GraphQL document; what is wrong with it is in the result."""
        try:
            document = parse(query, no_location=True)
            errors = self._check(query, document)
        except GraphQLError as error:
            return ExecutionResult(None, [error])
        if errors:
            return ExecutionResult(None, errors)
        result = execute(
            self.schema,
            document,
            root_value=caller,
            context_value=context,
            variable_values=variables,
            operation_name=operation,
            field_resolver=resolve,
        )
        return await result if asyncio.iscoroutine(result) or asyncio.isfuture(result) else result  # type: ignore[misc]


def _read(known: Path | None) -> set[str]:
    with contextlib.suppress(OSError, ValueError):
        if known is not None:
            return {line for line in known.read_text("ascii").split("\n") if len(line) == DIGITS}
    return set()


def _add(known: Path | None, name: str) -> None:
    """Add a digest to a file; where that can't be, the next session checks it again."""
    if known is None:
        return
    with contextlib.suppress(OSError):
        known.parent.mkdir(parents=True, exist_ok=True)
        begun = known.exists() and known.stat().st_size < LARGEST
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if begun else os.O_TRUNC)
        number = os.open(known, flags, 0o600)
        try:
            os.write(number, f"{name}\n".encode())  # in one piece, whoever else writes
        finally:
            os.close(number)


def shape_of(query: str) -> str | None:
    """Return a query with numbers for its texts, equal ones for equal texts; None where that can't be told.

    Whether a query is valid does not hang on what its texts say, but may on whether two are equal: a field that is
    asked for twice must have the same arguments.
    """
    numbers: dict[str, int] = {}
    shape = _TEXT.sub(lambda text: f'"{numbers.setdefault(text[0], len(numbers))}"', query)
    return None if "#" in shape else shape  # a quotation mark in a comment begins no text


def asks_only_for_the_schema(query: str) -> bool:
    """Tell whether a query is one of introspection, and nothing else."""
    try:
        document = parse(query, no_location=True)
    except GraphQLError:
        return False
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if len(operations) != 1 or operations[0].operation is not OperationType.QUERY:
        return False
    fields = operations[0].selection_set.selections
    return all(isinstance(field, FieldNode) and field.name.value == "__schema" for field in fields)
