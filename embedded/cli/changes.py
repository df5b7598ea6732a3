"""A Changeset as result: shown, asked about, and applied to the working folder."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, cast

from embedded.cli.output import say
from embedded.engine.errors import EngineError
from embedded.shown import shown

if TYPE_CHECKING:
    from embedded.cli.protocol import Session

_SHOWN = 40
_MERGE = "query($changes: [ID!]!) { changeset { withChangesets(changes: $changes) { id } } }"
_LOOK = "query($id: ID!) { node(id: $id) { ... on Changeset { isEmpty addedPaths modifiedPaths removedPaths } } }"
_APPLY = "query($id: ID!, $path: String!) { node(id: $id) { ... on Changeset { export(path: $path) } } }"


async def apply_changes(session: Session, answer: Any, leaf: str, *, auto_apply: bool) -> None:
    """Write a changeset (or a list of them, merged) to the working folder once that is agreed to.

    `answer` is an id, or a list of objects with the field `leaf`. Without `auto_apply` a terminal is asked; where there
    is none, that is an error.
    """
    if isinstance(answer, list):
        ids = [item[leaf] for item in cast("list[dict[str, Any]]", answer)]
        merged = await session.execute(_MERGE, {"changes": ids})
        answer = merged["changeset"]["withChangesets"]["id"]
    changes = (await session.execute(_LOOK, {"id": answer}))["node"]
    if changes["isEmpty"]:
        return
    if not auto_apply and not await _agreed(changes):
        return
    await session.execute(_APPLY, {"id": answer, "path": "."})


async def _agreed(changes: dict[str, list[str]]) -> bool:
    lines = [
        f"{sign} {shown(path)}"
        for sign, paths in (("+", "addedPaths"), ("~", "modifiedPaths"), ("-", "removedPaths"))
        for path in changes[paths]
    ]
    if not sys.stdin.isatty():
        paths = "1 path" if len(lines) == 1 else f"{len(lines)} paths"
        raise EngineError(
            f"{paths} would change and there is no terminal to ask on",
            "Give -y to apply the changes, or -o PATH to write them elsewhere.",
        )
    for line in lines[:_SHOWN]:
        say(line)
    if len(lines) > _SHOWN:
        say(f"... and {len(lines) - _SHOWN} more")
    sys.stderr.write("Apply changes? [y/N] ")
    sys.stderr.flush()
    answer = await asyncio.to_thread(sys.stdin.readline)
    return answer.strip().lower() in ("y", "yes")
