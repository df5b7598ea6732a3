"""How a method becomes a function of the module's API: uncached, and with errors in words."""

from __future__ import annotations

import functools
import traceback
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import dagger
from dagger import function

from ci.common.causes import full_disk_of, with_hint
from ci.common.concurrency import Memo
from ci.common.errors import BuildError, CozystackTalosError, first, said
from ci.common.imager_errors import is_imager, kind_of, without_repetition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

P = ParamSpec("P")
R = TypeVar("R")

#: Lines of a failed command's output that are shown.
_LAST_LINES = 20


def api_function(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make a function of the API whose result is not cached, since it looks at tags, catalogs and time.

    What the engine answers to a failed step becomes an error of one text: the SDK would log a traceback for it.
    """

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except Exception as raised:
            error = in_words(first(raised))
            if not isinstance(error, CozystackTalosError):
                traceback.print_exception(error)  # a mistake of this project, not of its user
            raise error from None

    public: Any = function  # its overloads leave `cache` out
    return cast("Callable[P, Awaitable[R]]", public(cache="never")(call))


def in_words(error: BaseException) -> BaseException:
    """Return what the engine answered as an error of this project, any other error as it is."""
    if isinstance(error, dagger.ExecError):
        output = [*error.stdout.splitlines(), *error.stderr.splitlines()]
        command, kind = " ".join(error.command), ""
        if is_imager(error.command):
            output = without_repetition(output)
            kind = kind_of(error.exit_code, error.stderr) or ""
        code = f"{error.exit_code} ({kind})" if kind else f"{error.exit_code}"
        hint = full_disk_of(f"{error.stdout}\n{error.stderr}")
        lines = [f"`{command}` ended with exit code {code}:", *output[-_LAST_LINES:], *([hint] if hint else [])]
        return BuildError("\n".join(lines))
    if isinstance(error, dagger.QueryError):
        return BuildError(with_hint(said(error)))
    return error


def _asked(value: Any) -> Hashable:
    """Return what an object of the engine is made of, its arguments likewise, to tell whether two are the same."""
    context = getattr(value, "_ctx", None)
    if context is not None:
        return tuple(
            (field.name, *((name, _asked(arg)) for name, arg in field.args.items())) for field in context.selections
        )
    return tuple(_asked(one) for one in cast("list[Any]", value)) if isinstance(value, list) else repr(value)


def ask_once(kind: Any) -> None:
    """Have the engine asked once a session for the id of equal objects of a kind."""
    ask: Callable[[Any], Awaitable[str]] = kind.id
    known: WeakKeyDictionary[Any, Memo[Hashable, str]] = WeakKeyDictionary()

    @functools.wraps(ask)
    async def asked_once(this: Any) -> str:
        memo = known.setdefault(this._ctx.conn, Memo())  # noqa: SLF001
        return await memo.get(_asked(this), lambda: ask(this))

    kind.id = asked_once


# The engine starts this module in every session to be told its types. The SDK asks for the id of the type of each
# argument and result anew: 240 requests for some 15 types.
ask_once(dagger.TypeDef)
