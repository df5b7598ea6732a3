"""The client of buildkitd: one build kept open for a session, through whose gateway trees are solved and read.

An empty `Control.Solve` keeps the build's results alive; `LLBBridge` calls that carry its id as metadata
(`buildkit-controlapi-buildid`) solve definitions, list, read and resolve images in milliseconds, and never export.
What leaves BuildKit (exports, pushes) goes through a `Control.Solve` of its own with an exporter.
Source of the calls: BuildKit's `control.proto` and `gateway.proto`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from embedded.engine import llb
from embedded.engine.errors import EngineError
from embedded.engine.events import StepEvent
from embedded.engine.protos import control, gateway, rpc_status
from embedded.engine.waiting import Silence, host_of, network_seconds
from embedded.shown import shown

CONTROL = "/moby.buildkit.v1.Control/"
BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
READ_CHUNK = 8 << 20
INSECURE = "security.insecure"
LOG_WAIT_SECONDS = 3.0
ATTEMPTS = 3
SECOND_FAILURE = "releasing already released reference"

_EXIT_CODE = re.compile(r"exit code: (\d+)")
# before the exit code BuildKit repeats the whole command line, the exec helper's part of it included
_PROCESS = re.compile(r'^process ".*" did not complete successfully: ', re.DOTALL)


#: Bytes of an error that BuildKit may answer with.
_LONGEST_ERROR = 4 << 20


class SolveError(EngineError):
    """A solve failed: BuildKit's text, and which vertex it was if it was one.

    `args` and `exit_code` are those of a failed exec. The vertex is known by BuildKit's own digest of it, which is not
    that of the bytes that were sent: it marshals operations anew.
    """

    def __init__(
        self, message: str, vertex: str = "", args: tuple[str, ...] = (), exit_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.vertex = vertex
        self.args_of_exec = args
        self.exit_code = exit_code


class EngineGoneError(EngineError):
    """buildkitd went away in the middle."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"the BuildKit engine went away in the middle of the work: {cause}",
            "Call again: it is started anew and what was finished is still in its cache.",
        )


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


@dataclass
class _Vertex:
    """What was seen of a vertex: its log, and whether it has ended."""

    name: str = ""
    chunks: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    started: int = 0
    """When its latest run began, in nanoseconds."""
    error: str = ""
    ran: bool = False
    """Whether it ran to its end here: what is only ever found in the cache did not."""
    heard: set[tuple[int, int, bytes]] = field(default_factory=set[tuple[int, int, bytes]])
    """The pieces of log that came, with their times: each build that needs a vertex reports them anew."""

    def begins(self, started: int) -> None:
        """Forget what an earlier run logged: one that failed runs again for the next that needs it."""
        if started > self.started:
            self.started = started
            self.chunks.clear()
            self.heard.clear()

    def hear(self, log: Any) -> bool:
        """Keep a piece of log; returns whether it is new."""
        piece = (log.timestamp.ToNanoseconds(), log.stream, log.msg)
        if piece in self.heard:
            return False
        self.heard.add(piece)
        self.chunks.append((log.stream, log.msg))
        return True


@dataclass(frozen=True)
class Ref:
    """A solved tree: the build that holds it, and its id there. The empty tree has neither."""

    build: str
    id: str
    fetched: frozenset[str] = field(default=frozenset(), compare=False)
    """Names of the vertices that fetch something for it: BuildKit pulls layers when something of them is read."""

    def __bool__(self) -> bool:
        return bool(self.id)


EMPTY = Ref("", "")


@dataclass(frozen=True)
class FileStat:
    """A file's entry in a listing; mode is Go's, as fsutil gives it."""

    name: str
    mode: int
    size: int
    link: str
    owner: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the entry with these fields, as JSON has them."""
        user, group = fields["owner"]
        return cls(fields["name"], fields["mode"], fields["size"], fields["link"], (user, group))

    @property
    def is_dir(self) -> bool:
        return bool(self.mode & (1 << 31))

    @property
    def is_symlink(self) -> bool:
        return bool(self.mode & (1 << 27))

    @property
    def permissions(self) -> int:
        return self.mode & 0o777


@dataclass(frozen=True)
class ImageConfig:
    """An image reference resolved: its digest, and the OCI image config of the wanted platform."""

    reference: str
    digest: str
    config: dict[str, Any]


class BuildKit:
    """A connection to buildkitd for one session."""

    def __init__(self, address: str, session_id: str, on_step: Callable[[StepEvent], None] | None = None) -> None:
        self._address = address
        self._session = session_id
        self._on_step = on_step
        self._channel: Any = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._builds: dict[bool, asyncio.Task[str]] = {}
        self._refs: dict[tuple[str, int], asyncio.Task[Ref]] = {}
        self._images: dict[tuple[str, str], asyncio.Task[ImageConfig]] = {}
        self._vertices: dict[str, _Vertex] = {}
        self._closing = False
        self._silence = Silence(network_seconds())

    async def __aenter__(self) -> Self:
        limits = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # An error travels as metadata, with all that a registry said, escaped: more than gRPC's 8 KB.
            ("grpc.max_metadata_size", _LONGEST_ERROR),
            ("grpc.absolute_max_metadata_size", _LONGEST_ERROR),
        ]
        self._channel = grpc.aio.insecure_channel(self._address, options=limits)
        self._spawn(self._silence.watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        # buildkitd cancels what a closed connection asked for
        await self._channel.close(grace=None)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- calls ------------------------------------------------------------------------------------------------

    def _unary(self, path: str, answer: Any) -> Any:
        return self._channel.unary_unary(path, request_serializer=_serialized, response_deserializer=answer.FromString)

    async def _call(self, path: str, request: Any, answer: Any, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
        try:
            return await self._unary(path, answer)(request, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise solve_error(error) from None

    async def _bridge(self, build: str, method: str, request: Any, answer: Any) -> Any:
        return await self._call(BRIDGE + method, request, answer, (("buildkit-controlapi-buildid", build),))

    async def _build(self, insecure: bool) -> str:
        if insecure not in self._builds:
            self._builds[insecure] = asyncio.create_task(self._open_build(insecure))
        return await asyncio.shield(self._builds[insecure])

    async def _open_build(self, insecure: bool) -> str:
        reference = secrets.token_hex(16)
        request = control.SolveRequest(
            Ref=reference, Session=self._session, Internal=True, Entitlements=[INSECURE] if insecure else []
        )
        solve = self._spawn(self._call(CONTROL + "Solve", request, control.SolveResponse))
        self._spawn(self._watch(reference))
        first = self._spawn(self._bridge(reference, "Ping", gateway.PingRequest(), gateway.PongResponse))
        await asyncio.wait({solve, first}, return_when=asyncio.FIRST_COMPLETED)
        if solve.done() and not self._closing:
            first.cancel()
            raise solve.exception() or EngineGoneError("the build ended at once")
        await first
        return reference

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # an error is looked at by who awaits the task, or belongs to a build that is being closed
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        return task

    # --- progress ---------------------------------------------------------------------------------------------

    async def _watch(self, reference: str) -> None:
        """Follow a build's progress: keep the logs of its vertices, and tell who listens."""
        stream = self._channel.unary_stream(
            CONTROL + "Status",
            request_serializer=_serialized,
            response_deserializer=control.StatusResponse.FromString,
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for response in stream(control.StatusRequest(Ref=reference)):
                self._note(response)
        for vertex in self._vertices.values():
            vertex.ended.set()

    def _note(self, response: Any) -> None:
        self._silence.note(response)
        for vertex in response.vertexes:
            if vertex.HasField("started"):
                self._vertices.setdefault(vertex.digest, _Vertex()).begins(vertex.started.ToNanoseconds())
        for log in response.logs:
            seen = self._vertices.setdefault(log.vertex, _Vertex())
            if seen.hear(log) and self._on_step:
                self._on_step(StepEvent(id=log.vertex, name=seen.name, log=log.msg.decode(errors="replace")))
        for vertex in response.vertexes:
            seen = self._vertices.setdefault(vertex.digest, _Vertex())
            seen.name, seen.error = vertex.name, shown(vertex.error) or seen.error
            started, completed = vertex.HasField("started"), vertex.HasField("completed")
            if started and not completed:
                seen.ended.clear()
            if completed:
                seen.ended.set()
                seen.ran = seen.ran or not vertex.cached
            if self._on_step:
                self._on_step(
                    StepEvent(
                        id=vertex.digest,
                        name=vertex.name,
                        started=vertex.started.ToNanoseconds() / 1e9 if started else None,
                        completed=vertex.completed.ToNanoseconds() / 1e9 if completed else None,
                        cached=vertex.cached,
                        error=_PROCESS.sub("", vertex.error),
                    )
                )

    async def streams(self, digest: str) -> tuple[bytes, bytes]:
        """Stdout and stderr of a vertex that ran in this session, whole once it has ended."""
        seen = self._vertices.setdefault(digest, _Vertex())
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(seen.ended.wait(), LOG_WAIT_SECONDS)
        return tuple(b"".join(msg for stream, msg in seen.chunks if stream == wanted) for wanted in (1, 2))  # type: ignore[return-value]

    # --- solving and reading ------------------------------------------------------------------------------------

    async def solve(self, output: llb.Output) -> Ref:
        """Evaluate an output and return the reference under which it can be read."""
        if output.vertex is None:
            return EMPTY
        key = (output.vertex.digest, output.index)
        task = self._refs.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._refs[key] = self._spawn(self._solve(output))
        return await asyncio.shield(task)

    async def _solve(self, output: llb.Output) -> Ref:
        assert output.vertex is not None
        insecure = output.vertex.insecure
        request = gateway.SolveRequest(
            Definition=llb.definition(output), allowResultReturn=True, allowResultArrayRef=True, Evaluate=True
        )
        for attempt in range(1, ATTEMPTS + 1):
            build = await self._build(insecure)
            try:
                names = frozenset(vertex.name for vertex in llb.vertices(output))
                solving = self._bridge(build, "Solve", request, gateway.SolveResponse)
                response = await self._silence.ended(names, solving)
                return Ref(build, response.result.ref.id, frozenset(filter(host_of, names)))
            except SolveError as error:
                self._retire(insecure, build)
                if SECOND_FAILURE not in error.message or attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _retire(self, insecure: bool, build: str) -> None:
        """Solve in a new build from now on; what was solved in this one stays readable.

        BuildKit 0.34 keeps the inputs of a failed exec in its build, and a second failure with one of them ends in
        an error about that instead of its own.
        """
        task = self._builds.get(insecure)
        if task is not None and task.done() and not task.exception() and task.result() == build:
            del self._builds[insecure]

    async def _read(self, reference: Ref, method: str, request: Any, answer: Any) -> Any:
        asking = self._bridge(reference.build, method, request, answer)
        if not reference.fetched:
            return await asking
        with self._silence.reading(reference.fetched):
            return await self._silence.ended(reference.fetched, asking)

    async def read_dir(self, reference: Ref, path: str) -> list[FileStat]:
        if not reference:
            return []
        request = gateway.ReadDirRequest(Ref=reference.id, DirPath=path)
        response = await self._read(reference, "ReadDir", request, gateway.ReadDirResponse)
        return [_file_stat(entry) for entry in response.entries]

    async def stat(self, reference: Ref, path: str) -> FileStat:
        request = gateway.StatFileRequest(Ref=reference.id, Path=path)
        entry = (await self._read(reference, "StatFile", request, gateway.StatFileResponse)).stat
        return _file_stat(entry)

    async def read_file(self, reference: Ref, path: str) -> bytes:
        """A file's contents, in pieces that stay below the gateway's limit for a message."""
        contents = bytearray()
        while len(contents) % READ_CHUNK == 0:
            span = gateway.FileRange(Offset=len(contents), Length=READ_CHUNK)
            request = gateway.ReadFileRequest(Ref=reference.id, FilePath=path, Range=span)
            piece = (await self._read(reference, "ReadFile", request, gateway.ReadFileResponse)).Data
            if not piece:
                break
            contents += piece
        return bytes(contents)

    async def resolve_image(self, reference: str, platform: str) -> ImageConfig:
        """Look a reference up in its registry (through the engine's mirrors), once a session.

        Gives its digest, and the config for the platform.
        """
        key = (reference, platform)
        task = self._images.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._images[key] = self._spawn(self._resolve_image(reference, platform))
        return await asyncio.shield(task)

    async def _resolve_image(self, reference: str, platform: str) -> ImageConfig:
        request = gateway.ResolveImageConfigRequest(Ref=reference, ResolveMode="default", SessionID=self._session)
        system, _, rest = platform.partition("/")
        request.Platform.OS = system
        request.Platform.Architecture, _, request.Platform.Variant = rest.partition("/")
        asking = self._bridge(
            await self._build(False), "ResolveImageConfig", request, gateway.ResolveImageConfigResponse
        )
        response = await self._silence.limited(reference.partition("/")[0], f"look up {reference}", asking)
        return ImageConfig(response.Ref or reference, response.Digest, json.loads(response.Config))

    async def export(self, output: llb.Output, exporter: str, attrs: Mapping[str, str]) -> dict[str, str]:
        """Solve and hand the result to an exporter of BuildKit (`local`, `oci`, `docker`, `image`)."""
        reference = secrets.token_hex(16)
        request = control.SolveRequest(Ref=reference, Session=self._session, Internal=True)
        if output.vertex is not None:
            request.Definition.CopyFrom(llb.definition(output))
            request.Entitlements.extend([INSECURE] if output.vertex.insecure else [])
        request.Exporters.add(Type=exporter, Attrs=dict(attrs))
        self._spawn(self._watch(reference))
        names = frozenset(vertex.name for vertex in llb.vertices(output))
        with self._pushing(attrs) as pushing:
            solving = self._call(CONTROL + "Solve", request, control.SolveResponse)
            response = await self._silence.ended(names | pushing, solving)
        return dict(response.ExporterResponse)

    @contextlib.contextmanager
    def _pushing(self, attrs: Mapping[str, str]) -> Generator[frozenset[str]]:
        """Watch the push that an export's attributes ask for, if they do."""
        if attrs.get("push") != "true":
            yield frozenset()
            return
        with self._silence.pushing(attrs["name"]) as name:
            yield frozenset({name})

    async def export_platforms(
        self, trees: Mapping[str, tuple[llb.Output, dict[str, Any]]], exporter: str, attrs: Mapping[str, str]
    ) -> dict[str, str]:
        """Export several platforms as one index: platform → (root filesystem, image config)."""
        reference = secrets.token_hex(16)
        request = control.SolveRequest(Ref=reference, Session=self._session, Internal=True)
        request.Exporters.add(Type=exporter, Attrs=dict(attrs))
        if any(tree.vertex is not None and tree.vertex.insecure for tree, _ in trees.values()):
            request.Entitlements.append(INSECURE)
        solve = self._spawn(self._call(CONTROL + "Solve", request, control.SolveResponse))
        self._spawn(self._watch(reference))
        result = gateway.ReturnRequest()
        platforms: list[dict[str, Any]] = []
        for platform, (tree, config) in trees.items():
            system, _, rest = platform.partition("/")
            architecture, _, variant = rest.partition("/")
            spec = {"architecture": architecture, "os": system} | ({"variant": variant} if variant else {})
            platforms.append({"ID": platform, "Platform": spec})
            solved = gateway.SolveRequest(
                Definition=llb.definition(tree), allowResultReturn=True, allowResultArrayRef=True
            )
            names = frozenset(vertex.name for vertex in llb.vertices(tree))
            solving = self._bridge(reference, "Solve", solved, gateway.SolveResponse)
            answer = await self._silence.ended(names, solving)
            result.result.refs.refs[platform].CopyFrom(answer.result.ref)
            result.result.metadata[f"containerimage.config/{platform}"] = json.dumps(config).encode()
        result.result.metadata["refs.platforms"] = json.dumps({"Platforms": platforms}).encode()
        names = frozenset(vertex.name for tree, _ in trees.values() for vertex in llb.vertices(tree))
        with self._pushing(attrs) as pushing:
            await self._bridge(reference, "Return", result, gateway.ReturnResponse)
            return dict((await self._silence.ended(names | pushing, solve)).ExporterResponse)

    async def failed(self, error: SolveError) -> str:
        """Return the name of the vertex that an error is of, as it was shown; empty where nothing was heard of one.

        BuildKit names it for an exec, and not for an image that it can't pull.
        """
        if error.vertex in self._vertices:
            return self._vertices[error.vertex].name
        for _ in range(10):  # its report may come after the answer
            for seen in self._vertices.values():
                if seen.error and (seen.error in error.message or error.message in seen.error):
                    return seen.name
            await asyncio.sleep(0.05)
        return ""

    def ran(self, name: str) -> bool:
        """Tell whether a vertex of this name ran in this session; else it came from the cache."""
        return any(seen.ran and seen.name == name for seen in self._vertices.values())


def _file_stat(entry: Any) -> FileStat:
    return FileStat(entry.path, entry.mode, entry.size, entry.linkname, (entry.uid, entry.gid))


def prune_cache(address: str, filters: Sequence[str] = (), seconds: float | None = None) -> None:
    """Remove what BuildKit at an address has cached and nobody uses: all of it, or what one of the filters fits."""
    with grpc.insecure_channel(address) as channel:
        prune = channel.unary_stream(CONTROL + "Prune", _serialized, control.UsageRecord.FromString)
        try:
            list(prune(control.PruneRequest(all=True, filter=filters), timeout=seconds))
        except grpc.RpcError as error:
            raise solve_error(cast("Any", error)) from None


def solve_error(error: grpc.aio.AioRpcError) -> EngineError:
    """Make of a gRPC error what it says about the build: the vertex and the exit code are in its details."""
    text = error.details() or str(error.code())
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return EngineGoneError(text)
    packed = next((value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"), b"")
    details = _details(packed if isinstance(packed, bytes) else packed.encode())
    vertex: str = details.get("errdefs.Vertex", {}).get("digest", "")
    args = details.get("errdefs.Solve", {}).get("op", {}).get("exec", {}).get("meta", {}).get("args", ())
    found = _EXIT_CODE.search(text)
    return SolveError(shown(text), vertex, tuple(args), int(found.group(1)) if found else None)


def _details(packed: bytes) -> dict[str, dict[str, Any]]:
    """The typed errors that BuildKit packs as JSON in a status' details, by name."""
    found: dict[str, dict[str, Any]] = {}
    for detail in rpc_status.Status.FromString(packed).details:
        name = detail.type_url.rpartition("/")[2]
        if name.endswith("+json"):
            found.setdefault(name.removesuffix("+json"), json.loads(detail.value))
    return found
