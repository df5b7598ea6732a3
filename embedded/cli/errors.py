"""Mistakes on the command line, and how a run ends other than well."""

from __future__ import annotations

from collections.abc import Sequence

from embedded.engine.errors import EngineError


class UsageError(EngineError):
    """A command line that can't be understood; `command` is the path whose `--help` says what can.

    Without a command the message stands alone. `near` names what may have been meant.
    """

    def __init__(self, message: str, command: str = "", near: Sequence[str] = ()) -> None:
        super().__init__(message, f"Run '{command} --help' for usage." if command else "")
        self.command = command
        self.near = tuple(near)


class ExitCode(Exception):  # noqa: N818 - it is not always an error
    """Everything has been said; only the exit code is left."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
