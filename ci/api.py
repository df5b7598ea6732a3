"""How a method becomes a function of the module's API: uncached, and with errors in words."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import dagger
from dagger import function

from ci.errors import EngineAnswerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
R = TypeVar("R")

#: Lines of a failed command's output that are shown.
_LAST_LINES = 20


def fresh(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make a function of the API whose result is not cached, since it looks at tags, catalogs and time.

    What the engine answers to a failed step becomes an error of one text: the SDK would log a traceback for it.
    """

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except BaseExceptionGroup as group:
            raise _answer(_first(group)) from None
        except dagger.QueryError as error:
            raise _answer(error) from None

    return function(cache="never")(call)  # pyright: ignore[reportCallIssue]  # the SDK's overloads leave `cache` out


def _first(error: BaseException) -> BaseException:
    """Steps that ran at the same time fail as a group; the first error is the one that ended the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _answer(error: BaseException) -> BaseException:
    if isinstance(error, dagger.ExecError):
        output = [*error.stdout.splitlines(), *error.stderr.splitlines()][-_LAST_LINES:]
        command = " ".join(error.command)
        return EngineAnswerError(f"`{command}` ended with exit code {error.exit_code}:\n" + "\n".join(output))
    if isinstance(error, dagger.QueryError):
        return EngineAnswerError(str(error))
    return error
