"""A session without an engine: a small schema, resolved by plain objects, for tests of the command line."""

# ruff: noqa: N802, N803, N815, A002
from __future__ import annotations

import asyncio
import builtins
import json
import os
import shlex
import subprocess
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import GraphQLSchema, build_schema, extend_schema, graphql, parse  # pyright: ignore[reportUnknownVariableType]

from embedded.engine.errors import EngineError, ExecFailedError
from embedded.engine.events import OnStep, StepEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from embedded.cli.protocol import Mode, Session

HERE = Path(__file__).parent
OBJECTS: dict[str, Any] = {}


class QueryError(EngineError):
    """A GraphQL error as the session reports it."""

    def __init__(self, message: str, extensions: dict[str, Any]) -> None:
        super().__init__(message)
        self._extensions = extensions

    @property
    def extensions(self) -> dict[str, Any]:
        return self._extensions


class Object:
    """Anything with an id."""

    def id(self, _info: Any) -> str:
        key = f"{type(self).__name__}:{builtins.id(self)}"
        OBJECTS[key] = self
        return key

    def sync(self, info: Any) -> str:
        return self.id(info)


@dataclass(eq=False)
class Directory(Object):
    __typename = "Directory"
    files: dict[str, str] = field(default_factory=dict[str, str])
    origin: str = ""

    def entries(self, _info: Any, path: str = "") -> list[str]:
        return sorted(self.files)

    def file(self, _info: Any, path: str) -> File:
        return File(path, self.files[path])

    def export(self, _info: Any, path: str, wipe: bool = False) -> str:
        target = Path(path).absolute()
        target.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (target / name).write_text(text)
        return str(target)

    def withDirectory(self, _info: Any, path: str, source: str, exclude: list[str]) -> Directory:
        return Directory({**self.files, **OBJECTS[source].files})


@dataclass(eq=False)
class File(Object):
    __typename = "File"
    name: str
    text: str

    def contents(self, _info: Any) -> str:
        return self.text

    def size(self, _info: Any) -> int:
        return len(self.text)

    def export(self, _info: Any, path: str, allowParentDirPath: bool = False) -> str:
        target = Path(path).absolute()
        if allowParentDirPath and target.is_dir():
            target /= self.name
        target.write_text(self.text)
        return str(target)


@dataclass(eq=False)
class Secret(Object):
    __typename = "Secret"
    uri: str

    def value(self) -> str:
        scheme, colon, rest = self.uri.partition(":")
        rest = rest.removeprefix("//")
        if scheme == "file":
            return Path(rest).read_text()
        if scheme == "cmd":
            return subprocess.run(shlex.split(rest), capture_output=True, text=True, check=True).stdout
        name = rest if colon else self.uri
        if name not in os.environ:
            raise EngineError(f'secret env var not found: "{name[:3]}..."')
        return os.environ[name]


@dataclass(eq=False)
class Named(Object):
    name: str


@dataclass(eq=False)
class Container(Object):
    __typename = "Container"
    platform: str = "linux/amd64"
    args: tuple[str, ...] = ()
    image: str = ""

    def withExec(self, _info: Any, args: list[str], stdin: str) -> Container:
        return Container(self.platform, tuple(args))

    def stdout(self, _info: Any) -> str:
        if self.args[:1] == ("false",):
            raise ExecFailedError(list(self.args), 3, "some output", "some complaint")
        return " ".join(self.args)

    def sync(self, info: Any) -> str:
        self.stdout(info)
        return self.id(info)


@dataclass(eq=False)
class Changeset(Object):
    __typename = "Changeset"
    added: dict[str, str] = field(default_factory=dict[str, str])

    def addedPaths(self, _info: Any) -> list[str]:
        return sorted(self.added)

    def modifiedPaths(self, _info: Any) -> list[str]:
        return []

    removedPaths = modifiedPaths

    def isEmpty(self, _info: Any) -> bool:
        return not self.added

    def export(self, _info: Any, path: str) -> str:
        for name, text in self.added.items():
            (Path(path) / name).write_text(text)
        return str(Path(path).absolute())

    def withChangesets(self, _info: Any, changes: list[str]) -> Changeset:
        return Changeset({name: text for change in changes for name, text in OBJECTS[change].added.items()})


@dataclass(eq=False)
class Address:
    value: str

    def directory(self, _info: Any, exclude: list[str]) -> Directory:
        folder = Path(self.value)
        if not folder.is_dir():
            raise EngineError(f"stat {self.value}: no such file or directory")
        return Directory(read_folder(folder, exclude), origin=self.value)

    def file(self, _info: Any) -> File:
        path = Path(self.value)
        if not path.is_file():
            raise EngineError(f"stat {self.value}: no such file or directory")
        return File(path.name, path.read_text())

    def secret(self, _info: Any) -> Secret:
        return Secret(self.value)

    def container(self, _info: Any) -> Container:
        return Container(image=self.value)

    def gitRef(self, _info: Any) -> Named:
        return Named(self.value)


def read_folder(folder: Path, patterns: list[str]) -> dict[str, str]:
    """Read a folder's files without those that the patterns exclude; the last pattern that matches counts."""
    found: dict[str, str] = {}
    for path in folder.iterdir():
        excluded = False
        for pattern in patterns:
            if fnmatch(path.name, pattern.removeprefix("!")):
                excluded = not pattern.startswith("!")
        if path.is_file() and not excluded:
            found[path.name] = path.read_text()
    return found


@dataclass(eq=False)
class Child(Object):
    label: str
    count: int = 1

    def times(self, _info: Any, n: int) -> Child:
        return Child(self.label, self.count * n)

    def tree(self, _info: Any) -> Directory:
        return Directory({f"{self.label}.txt": str(self.count)})


@dataclass(eq=False)
class Probe(Object):
    greeting: str

    def greet(self, _info: Any, name: str, loud: bool) -> str:
        text = f"{self.greeting} {name}"
        return text.upper() if loud else text

    def add(self, _info: Any, numbers: list[int]) -> int:
        return sum(numbers)

    words = ("one", "two")
    nothing = None
    healthy = None

    def child(self, _info: Any, label: str) -> Child:
        return Child(label)

    def children(self, _info: Any) -> list[Child]:
        return [Child("a"), Child("b", 2)]

    def names(self, info: Any, source: str = "") -> list[str]:
        directory: Directory = OBJECTS[source] if source else Directory(read_folder(Path(), ["*", "!*.toml"]))
        return directory.entries(info)

    def read(self, _info: Any, file: str) -> str:
        return OBJECTS[file].text

    def secretLength(self, _info: Any, token: str) -> int:
        return len(OBJECTS[token].value())

    def renamed(self, _info: Any, **arguments: str) -> str:
        return arguments["from"]

    def optional(self, _info: Any, value: str | None = None) -> str:
        return value or "none"

    def platformOf(self, _info: Any, platform: str) -> str:
        return platform

    def fail(self, _info: Any) -> str:
        raise EngineError("FunctionError: no such thing: choose a or b")


class Suite(Object):
    lint = None

    def needsName(self, _info: Any, name: str) -> None: ...

    def unit(self, _info: Any) -> str:
        raise EngineError("FunctionError: 1 is not 2")


@dataclass(eq=False)
class More(Object):
    upstream: str = ""

    def broken(self, _info: Any) -> Container:
        return Container(args=("false",))

    def change(self, _info: Any, empty: bool) -> Changeset:
        return Changeset({} if empty else {"new.txt": "new"})

    def changes(self, _info: Any) -> list[Changeset]:
        return [Changeset({"one.txt": "1"}), Changeset({"two.txt": "2"})]

    flag = True
    ratio = 1.5
    missing = None

    def kinds(self, _info: Any, **arguments: Any) -> str:
        shown = {
            name: getattr(OBJECTS.get(value, value), "image", None) or getattr(OBJECTS.get(value, value), "name", value)
            if isinstance(value, str)
            else value
            for name, value in arguments.items()
        }
        return json.dumps(shown)

    def update(self, _info: Any, repository: str = "") -> str:
        return repository

    outdated = update

    def workloads(self, _info: Any, **arguments: Any) -> str:
        origin = {
            name: getattr(OBJECTS.get(value, value), "origin", value)
            for name, value in arguments.items()
            if isinstance(value, str)
        }
        return json.dumps({**arguments, **origin, "constructor": bool(self.upstream)})

    def origin(self, _info: Any) -> str:
        return OBJECTS[self.upstream].origin if self.upstream else "none"

    def secret(self, _info: Any, first: str) -> int:
        return len(OBJECTS[first].value())

    async def sleep(self, _info: Any) -> str:
        await asyncio.sleep(60)
        return "awake"

    def suite(self, _info: Any) -> Suite:
        return Suite()


class Query:
    version = "v0.21.8"

    def address(self, _info: Any, value: str) -> Address:
        return Address(value)

    def cacheVolume(self, _info: Any, key: str) -> Named:
        return Named(key)

    def changeset(self, _info: Any) -> Changeset:
        return Changeset()

    def container(self, _info: Any, platform: str = "linux/amd64") -> Container:
        return Container(platform)

    def directory(self, _info: Any) -> Directory:
        return Directory()

    def node(self, _info: Any, id: str) -> Any:
        return OBJECTS[id]

    def probe(self, _info: Any, greeting: str) -> Probe:
        if greeting == "refuse":
            raise EngineError("FunctionError: greeting refused: say something kinder")
        return Probe(greeting)

    def more(self, _info: Any, upstream: str = "", release: str = "") -> More:
        return More(upstream)


def _resolve(owner: Any, info: Any, /, **arguments: Any) -> Any:
    found = getattr(owner, info.field_name)
    return found(info, **arguments) if callable(found) else found


class FakeSession:
    """The session of the protocol, with a record of what it was asked."""

    port = 4321
    token = "fake-token"
    registry: str | None = None

    def __init__(self, module: str) -> None:
        self.schema: GraphQLSchema = build_schema((HERE / "fake-core.graphqls").read_text())
        self._module = module
        self.loaded = False
        self.queries: list[tuple[str, dict[str, Any]]] = []

    async def load_module(self) -> str:
        if not self._module:
            raise EngineError("no dagger.json here or above")
        self.loaded = True
        self.schema = extend_schema(self.schema, parse((HERE / f"fake-{self._module}.graphqls").read_text()))
        return self._module

    def from_cache(self, text: str) -> list[str]:
        return ["exec make test"] if text == "hello cache" else []

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.queries.append((query, dict(variables or {})))
        result = await graphql(
            self.schema, query, Query(), variable_values=dict(variables or {}), field_resolver=_resolve
        )
        if result.errors:
            error = result.errors[0]
            original = error.original_error
            raise QueryError(error.message, original.extensions if isinstance(original, EngineError) else {})
        assert result.data is not None
        return result.data


@dataclass
class FakeEngine:
    """Opens fake sessions and remembers how; `steps` are reported when a session opens, `trouble` hinders it."""

    module: str = "probe"
    steps: list[StepEvent] = field(default_factory=list[StepEvent])
    opened: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    sessions: list[FakeSession] = field(default_factory=list[FakeSession])
    closed: int = 0
    closing: float = 0
    """Seconds that the end of a session takes."""
    trouble: Exception | None = None

    def __call__(
        self, *, mode: Mode, workdir: Path, module: Path | None, loads: bool, on_step: OnStep
    ) -> AbstractAsyncContextManager[Session]:
        self.opened.append({"mode": mode, "workdir": workdir, "module": module, "loads": loads})
        return self._open(on_step)

    @asynccontextmanager
    async def _open(self, on_step: Callable[[StepEvent], None]) -> AsyncGenerator[Session, None]:
        if self.trouble is not None:
            raise self.trouble
        session = FakeSession(self.module)
        self.sessions.append(session)
        for event in self.steps:
            on_step(event)
        try:
            yield session
        finally:
            await asyncio.sleep(self.closing)
            self.closed += 1
