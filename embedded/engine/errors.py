"""What the engine raises, in words for the person who called."""

from __future__ import annotations

from typing import Any


class EngineError(Exception):
    """Something that the caller can act on: what went wrong, and the way out."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    @property
    def extensions(self) -> dict[str, Any]:
        """What a GraphQL error carries beside its text."""
        return {}


class UnsupportedError(EngineError):
    """A part of Dagger's API that this engine does not answer."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not supported by the embedded engine: {what}")


class ExecFailedError(EngineError):
    """A command in a container ended otherwise than was expected.

    The extensions are those of Dagger's own `EXEC_ERROR`, from which `dagger-io` makes a `dagger.ExecError`.
    """

    def __init__(self, args: list[str], exit_code: int, stdout: str, stderr: str) -> None:
        super().__init__(f"exit code: {exit_code}")
        self.command = args
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def extensions(self) -> dict[str, Any]:
        return {
            "_type": "EXEC_ERROR",
            "cmd": self.command,
            "exitCode": self.exit_code,
            "stdout": self.stdout,
            "stderr": self.stderr,
        }


class FunctionFailedError(EngineError):
    """A module's function raised; the text is what the module's SDK reported."""

    def __init__(self, message: str, extensions: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self._extensions = extensions or {}

    @property
    def extensions(self) -> dict[str, Any]:
        return self._extensions
