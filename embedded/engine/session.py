"""A session: the engine's life, the API, the server and the module, opened and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from graphql import ExecutionResult, GraphQLSchema

from embedded.engine import api as _api  # noqa: F401  # pyright: ignore[reportUnusedImport]  registers the resolvers
from embedded.engine import llb, server
from embedded.engine.api.context import Engine
from embedded.engine.api.execs import CA_SECRET
from embedded.engine.api.hostpaths import FROM_COMMAND_LINE
from embedded.engine.api.registry import Nested
from embedded.engine.attachables import Attachables
from embedded.engine.buildkit import BuildKit
from embedded.engine.errors import EngineError
from embedded.engine.events import OnStep
from embedded.engine.kept import Kept
from embedded.engine.lab import LabImages
from embedded.engine.life import Lease, ca_bundle, lease
from embedded.engine.life.orders import idle_seconds
from embedded.engine.module.calls import Runner, Slot
from embedded.engine.module.environment import environment
from embedded.engine.module.loading import load
from embedded.engine.module.processes import Launcher
from embedded.engine.module.source import ModuleSource, copy_module, find_module
from embedded.engine.queries import Queries, asks_only_for_the_schema
from embedded.engine.requests import noted
from embedded.engine.schema import introspection, load_schema, valid_queries, with_types
from embedded.engine.scratch import scratch_folder
from embedded.setup.paths import Paths, paths, tool

Mode = Literal["real", "lab"]

PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
AHEAD = 2
"""Processes started ahead of their calls: a constructor and one function."""
LAB_HINT = "To try things out without the network, put --lab before daggerw's arguments: it works with stand-ins."


class Session:
    """Dagger's API for one caller, in this process and on a port."""

    def __init__(self, mode: Mode, workdir: Path, module: Path | None, loads: bool, on_step: OnStep) -> None:
        self._mode: Mode = mode
        self._workdir = workdir
        self._given_module = module
        self._loads = loads
        self._on_step = on_step
        self._paths: Paths = paths()
        self._kept = self._paths.cache / "modules"
        self._runner: Runner | None = None
        self._source: ModuleSource | None = None
        self._copy: Path | None = None
        self._constructor = ""
        self.registry: str | None = None
        self.token = secrets.token_hex(16)
        self.tokens: dict[str, Any] = {self.token: None}
        self._listening = server.bind()
        self.port: int = self._listening.getsockname()[1]
        self._core = self._whole = Queries(load_schema(self._kept), known=valid_queries(self._kept))
        self.tokens[self.token] = self
        self._nested_token = secrets.token_hex(16)
        self.tokens[self._nested_token] = Nested()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[Session]:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._listening.close)
            if self._loads:
                await self._start_ahead()
            stack.push_async_callback(self._close_runner)
            held = await asyncio.to_thread(stack.enter_context, lease(self._paths, self._mode))
            self.registry = held.registry or None
            attachables = Attachables(tool("session-helper"), held.address, self._paths.cache / "session")
            stack.push_async_callback(attachables.close)
            await attachables.start()
            client = await stack.enter_async_context(BuildKit(held.address, attachables.id, self._on_step))
            scratch = stack.enter_context(scratch_folder(self._folder("sessions")))
            self._engine = await self._make_engine(client, attachables, scratch, held)
            listener = server.Server(self, self._listening)
            serving = asyncio.create_task(listener.answer_until_stopped())

            async def stop() -> None:
                await self._close_runner()
                listener.end()
                await asyncio.gather(serving, return_exceptions=True)

            stack.push_async_callback(stop)
            yield self

    def _folder(self, name: str) -> Path:
        folder = self._paths.cache / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _make_engine(self, client: BuildKit, attachables: Attachables, scratch: Path, held: Lease) -> Engine:
        helper = tool("exec-helper")
        await attachables.offer_folder("exec-helper", helper.parent)
        bundle = ca_bundle()
        if bundle is not None:
            await attachables.offer_secret(CA_SECRET, bundle.read_bytes())
        attrs = {"local.sharedkeyhint": str(helper), "local.includepattern": '["exec-helper"]'}
        return Engine(
            bk=client,
            attachables=attachables,
            platform=PLATFORM[os.uname().machine],
            workdir=self._workdir,
            scratch=scratch,
            helper=llb.source("local://exec-helper", attrs, name="upload the exec helper"),
            ca_bundle=bundle,
            unreachable_hint=LAB_HINT if self._mode == "real" else "",
            on_step=self._on_step,
            exports=self._paths.cache / "exports",
            env=dict(os.environ),
            lab=LabImages(held.registry, self._paths.cache, self._on_step) if held.registry else None,
            nested=(self.port, self._nested_token),
            tarballs=self._paths.cache / "engine" / self._mode / "tarballs",
            kept=Kept(self._paths.cache / "engine" / self._mode / "images"),
        )

    # --- the module -----------------------------------------------------------------------------------------------

    async def _start_ahead(self) -> None:
        """Find the module and start its processes first of all: where they must import the SDK, they take longest."""
        self._source = find_module(self._workdir, self._given_module)
        if self._source is None:
            return
        self._copy = copy_module(self._source, self._folder("modules"))
        python = await environment(self._paths, self._copy, self._on_step)
        names = (self._source.name, self._source.main_object)
        launcher = Launcher(self._paths.cache, python, self._copy, names, self.port, idle_seconds())
        self._runner = Runner(launcher, self.tokens, self._on_step)
        self._runner.prepare(AHEAD)

    async def _close_runner(self) -> None:
        if self._runner is not None:
            await self._runner.close()

    async def load_module(self) -> str:
        """Merge the module's types into the schema; returns the Query field that is its constructor."""
        if self._runner is None:
            await self._start_ahead()
        if self._source is None or self._runner is None or self._copy is None:
            raise EngineError(
                f"no module found: there is no dagger.json in {self._workdir} or above",
                "Go to a module's folder, or name it with -m PATH.",
            )
        if not self._constructor:
            loaded = await load(self._engine, self._source, self._copy, self._runner)
            whole = with_types(self._core.schema, self._kept, loaded.sdl)
            self._whole = Queries(whole, loaded.sdl, valid_queries(self._kept, loaded.sdl))
            self._engine.module = loaded.bound
            self._constructor = self._source.constructor
        return self._constructor

    @property
    def schema(self) -> GraphQLSchema:
        """The API, with the types of the module once that is loaded."""
        return self._whole.schema

    def from_cache(self, text: str) -> list[str]:
        """Name the commands that did not run in this session and whose kept output is in a text."""
        return self._engine.from_cache(text)

    # --- queries --------------------------------------------------------------------------------------------------

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a document of the command line and return its data; its first error is raised."""
        asked = FROM_COMMAND_LINE.set(True)
        try:
            result = await self._run(self, query, dict(variables or {}), None)
        finally:
            FROM_COMMAND_LINE.reset(asked)
        for error in result.errors or ():
            if isinstance(error.original_error, EngineError):
                raise error.original_error
            raise EngineError(error.message)
        return result.data or {}

    async def answer(self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None) -> bytes:
        """Answer a request that came by HTTP."""
        if "__schema" in query and asks_only_for_the_schema(query):
            seen = self._seen_by(caller)
            return introspection(self._kept, seen.schema, seen.module_sdl)
        with noted(query):
            return await self._answered(caller, query, variables, operation)

    async def _answered(
        self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None
    ) -> bytes:
        return orjson.dumps(server.formatted(await self._run(caller, query, variables, operation)))

    def _seen_by(self, caller: Any) -> Queries:
        """A module's own process sees the API without the module, and so does an exec that uses it."""
        return self._core if isinstance(caller, Slot | Nested) else self._whole

    async def _run(
        self, caller: Any, query: str, variables: dict[str, Any] | None, operation: str | None
    ) -> ExecutionResult:
        return await self._seen_by(caller).run(query, caller, self._engine, variables, operation)


@contextlib.asynccontextmanager
async def open_session(
    *, mode: Mode, workdir: Path, module: Path | None, loads: bool, on_step: OnStep
) -> AsyncGenerator[Session]:
    """Open a session; leaving it cancels what still runs.

    `module` is what `--mod` named; None: the module in the working folder or above. `loads` says whether `load_module`
    will be called. Raises EngineError.
    """
    async with Session(mode, workdir, module, loads, on_step).running() as session:
        yield session
