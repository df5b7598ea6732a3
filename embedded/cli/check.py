"""`check`: find the module's functions marked as checks, run them at once, and say how each went."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from embedded.cli.arguments import argument_values
from embedded.cli.chain import build_query, read_chain
from embedded.cli.errors import ExitCode
from embedded.cli.help import print_table
from embedded.cli.lab import fallback_arguments
from embedded.cli.names import kebab
from embedded.cli.output import say, write_out
from embedded.engine.errors import EngineError
from embedded.shown import shown, shown_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from embedded.cli.model import Function, Model
    from embedded.cli.progress import Progress
    from embedded.cli.protocol import Mode, Session


@dataclass(frozen=True)
class Check:
    """A function marked `@check` and the functions that lead to it, the constructor first."""

    path: tuple[Function, ...]

    @property
    def name(self) -> str:
        """Its name with the module's before it: `probe:healthy`."""
        return ":".join(kebab(function.name) for function in self.path)

    @property
    def function(self) -> Function:
        """The check itself."""
        return self.path[-1]

    def matches(self, pattern: str) -> bool:
        """Tell whether a pattern names this check or what is above it, with or without the module's name."""
        segments = self.name.split(":")
        wanted = [kebab(segment) for segment in pattern.split(":")]
        return any(path[: len(wanted)] == wanted or _glob(wanted, path) for path in (segments, segments[1:]))


def find_checks(model: Model) -> list[Check]:
    """List the checks that can be run without arguments, sorted by name."""
    constructor = model.constructor
    if constructor is None:
        return []
    return sorted(_walk(model, (constructor,), frozenset()), key=lambda check: check.name)


def select_checks(checks: list[Check], patterns: list[str], skipped: Sequence[str] = ()) -> list[Check]:
    """Keep what matches any pattern and none of `skipped`.

    Raises EngineError for a pattern that matches nothing, and where nothing is left of what was asked for.
    """
    for pattern in patterns:
        if not any(check.matches(pattern) for check in checks):
            known = ", ".join(check.name for check in checks) or "none: the module has no function marked @check"
            raise EngineError(f"no check matches '{pattern}'; there are: {known}")
    wanted = [check for check in checks if not patterns or any(check.matches(pattern) for pattern in patterns)]
    kept = [check for check in wanted if not any(check.matches(pattern) for pattern in skipped)]
    if patterns and not kept:
        asked = ", ".join(f"'{pattern}'" for pattern in patterns)
        raise EngineError(f"of {asked} no check is left: --skip leaves all out")
    return kept


def list_checks(checks: list[Check]) -> None:
    """Print names and descriptions."""
    print_table([("Name", "Description"), *((check.name, check.function.short) for check in checks)])


async def run_checks(
    session: Session, model: Model, checks: list[Check], progress: Progress, *, mode: Mode, fail_fast: bool
) -> None:
    """Run checks side by side, as many as there are processors; raises ExitCode(1) when any fails.

    With `fail_fast` those that have not begun when the first fails are left out.
    """
    fallback = fallback_arguments(mode, session.registry)
    constructor = read_chain(model, [], (), "dagger check", fallback=fallback).links[0]
    if missing := constructor.flags.missing():
        raise EngineError(f"checks can't be run: the module's constructor requires {', '.join(missing)}")
    values = await argument_values(session, constructor.function, constructor.flags, "dagger check")
    slots = asyncio.Semaphore(os.cpu_count() or 1)
    failed: list[str] = []

    async def run(check: Check) -> None:
        async with slots:
            if fail_fast and failed:
                return
            began = time.monotonic()
            error: EngineError | None = None
            try:
                await _run(session, model, check, values)
            except EngineError as raised:
                error = raised
                failed.append(check.name)
            with progress.hidden():  # a live display and standard output may share the terminal
                took = f"{time.monotonic() - began:.1f}s"
                lines = [f"{shown(check.name)} {'ERROR' if error else 'OK'} [{took}]"]
                lines += [f"  {line}" for line in _report(error)] if error else []
                write_out("".join(f"{line}\n" for line in lines))

    await asyncio.gather(*(run(check) for check in checks))
    progress.close()
    if failed:
        say(f"Error: {len(failed)} checks failed" if len(failed) > 1 else "Error: 1 check failed")
        raise ExitCode(1)


async def _run(session: Session, model: Model, check: Check, values: dict[str, Any]) -> None:
    owner = check.function.type.object_name
    leaf = ("sync" if model.field(owner, "sync") else "id") if owner else ""
    constructor, *others = check.path
    query, variables = build_query([(constructor, values), *((function, {}) for function in others)], leaf)
    await session.execute(query, variables)


def _report(error: EngineError) -> Iterator[str]:
    for text in (str(error), *(str(error.extensions.get(stream) or "") for stream in ("stdout", "stderr"))):
        yield from shown_lines(text.rstrip("\n")).split("\n") if text else ()


def _walk(model: Model, path: tuple[Function, ...], seen: frozenset[str]) -> Iterator[Check]:
    owner = path[-1].type.object_name
    if path[-1].type.element is not None or owner in seen or not model.is_module_type(owner):
        return
    for function in model.functions(owner):
        if any(arg.required for arg in function.arguments):
            continue
        if function.is_check:
            yield Check((*path, function))
        else:
            yield from _walk(model, (*path, function), seen | {owner})


def _glob(wanted: list[str], path: list[str]) -> bool:
    """Match segment by segment; `*` stays within a segment, `**` spans any number of them."""
    if not wanted:
        return not path
    if wanted[0] == "**":
        return _glob(wanted[1:], path) or (bool(path) and _glob(wanted, path[1:]))
    return bool(path) and fnmatchcase(path[0], wanted[0]) and _glob(wanted[1:], path[1:])
