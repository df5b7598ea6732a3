"""`query`: a GraphQL document from standard input or a file, its data printed as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded.cli.flags import Flag, FlagSet
from embedded.cli.output import print_result
from embedded.cli.values import many, scalar, split_csv
from embedded.engine.errors import EngineError

if TYPE_CHECKING:
    from embedded.cli.protocol import Session


def query_flags() -> FlagSet:
    """Make the flags of `query`."""
    return FlagSet(
        [
            Flag("doc", scalar("string", str, ""), "Read query from file (defaults to reading from stdin)"),
            Flag("var", many("strings", split_csv, str), "List of query variables, in key=value format"),
            Flag("var-json", scalar("string", str, ""), "Query variables in JSON format (overrides --var)"),
        ]
    )


async def run_query(session: Session, flags: FlagSet) -> None:
    """Execute the document; raises EngineError when it can't be read or the session refuses it."""
    print_result(await session.execute(_document(flags), _variables(flags)), as_json=True)


def _document(flags: FlagSet) -> str:
    path: str = flags["doc"].value.get()
    try:
        document = Path(path).read_text() if path else "" if sys.stdin.isatty() else sys.stdin.read()
    except OSError as error:
        raise EngineError(f"can't read --doc {path}: {error.strerror}") from error
    if not document.strip():
        raise EngineError("no query given: write it to standard input or name a file with --doc")
    return document


def _variables(flags: FlagSet) -> dict[str, Any]:
    text: str = flags["var-json"].value.get()
    if text:
        try:
            return json.loads(text)
        except ValueError as error:
            raise EngineError(f"--var-json is not JSON: {error}") from error
    pairs: list[str] = flags["var"].value.get()
    for pair in pairs:
        if "=" not in pair:
            raise EngineError(f'--var takes key=value, not "{pair}"')
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
