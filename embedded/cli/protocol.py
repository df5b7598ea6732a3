"""What the command line needs of the engine; `embedded.engine.session` gives it, tests give a fake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from graphql import GraphQLSchema

    from embedded.engine.events import OnStep

Mode = Literal["real", "lab"]


class Session(Protocol):
    """A running session: Dagger's API in one process with the command line.

    Everything raises `embedded.engine.errors.EngineError`; its `extensions` are those of the GraphQL error, so those of
    an `EXEC_ERROR` for a failed command.
    """

    @property
    def schema(self) -> GraphQLSchema:
        """The API, and after `load_module` the module's types too, with Dagger's directives on the nodes."""
        ...

    @property
    def port(self) -> int:
        """Where the same API is served on 127.0.0.1."""
        ...

    @property
    def token(self) -> str:
        """User name of the basic authentication there."""
        ...

    @property
    def registry(self) -> str | None:
        """`127.0.0.1:PORT` of the lab's registry; None without the lab."""
        ...

    async def load_module(self) -> str:
        """Merge the module's types into the schema; returns the Query field that is its constructor."""
        ...

    def from_cache(self, text: str) -> list[str]:
        """Name the commands that did not run in this session and whose kept output is in a text."""
        ...

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a GraphQL document and return its data; paths in it are relative to the caller's working folder."""
        ...


class OpenSession(Protocol):
    """Starts a session; leaving it cancels what still runs."""

    def __call__(
        self, *, mode: Mode, workdir: Path, module: Path | None, loads: bool, on_step: OnStep
    ) -> AbstractAsyncContextManager[Session]:
        """`module` is what `--mod` named; None: the module in the working folder or above.

        `loads` says whether `load_module` will be called, so that what takes longest for it is begun at once.
        """
        ...
