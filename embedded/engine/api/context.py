"""The state of one session: its objects by id, its secrets, and the way to BuildKit."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import posixpath
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from embedded.engine import causes, llb
from embedded.engine.api.references import Reference
from embedded.engine.api.values import Directory, File
from embedded.engine.attachables import Attachables
from embedded.engine.buildkit import BuildKit, FileStat, Ref, SolveError
from embedded.engine.errors import EngineError, ExecFailedError
from embedded.engine.events import OnStep
from embedded.engine.kept import Kept, packed, unpacked
from embedded.engine.life.config import user_file
from embedded.engine.life.diagnosis import FULL_DISK_HINT
from embedded.engine.waiting import host_of
from embedded.shown import shown

T = TypeVar("T")

LEAST_OUTPUT, MOST_OUTPUT = 12, 1 << 20
"""Characters of a command's output that tell it apart, and that are worth keeping."""
NOT_THERE = "no such file or directory"
NOT_UTF8 = "contains invalid UTF-8"
UPLOAD = "upload "
"""What the name of a step begins with that uploads a folder of the host."""
NO_SPACE = "no space left on device"
AGAIN = "Call again: what was finished is still in the engine's cache."
RECEIVER = "error from receiver: "
"""What BuildKit puts before the cause when the session helper could not write what is exported."""

HELPER_PATH = "/dev/.exec/helper"
"""Where the exec helper lies in a container: below `/dev`, which no image brings along."""
HELPER_FAILED = 121
"""Exit code of the exec helper itself; what it says stands on stderr."""
UNEXPECTED_SUCCESS = 120
"""Exit code of the exec helper where a command succeeded that was expected to fail."""


class Module(Protocol):
    """The loaded module, as the schema's resolvers reach it; `module/bound.py` implements it."""

    current: Any

    def owns(self, type_name: str, field: str) -> bool: ...

    async def resolve(self, source: Any, engine: Engine, type_name: str, field: str, given: dict[str, Any]) -> Any: ...


class Lab(Protocol):
    """The stand-in upstream, which makes what is asked for; `engine/lab.py` implements it."""

    async def prepare(self, reference: Reference, platform: str) -> Reference: ...

    async def prepare_folder(self, path: Path) -> None: ...


@dataclass
class Engine:
    """What resolvers work with."""

    bk: BuildKit
    attachables: Attachables
    platform: str
    workdir: Path
    """The folder of who called; relative paths start there."""
    scratch: Path
    """A folder of this session's own, removed with it."""
    helper: llb.Output
    """The exec helper: a tree with `/exec-helper`."""
    ca_bundle: Path | None = None
    unreachable_hint: str = ""
    """Shown when a registry can't be reached."""
    on_step: OnStep | None = None
    """Shows what the engine itself waits for."""
    exports: Path | None = None
    """Where it is noted which folders of the host were written: those alone may be emptied."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, bytes] = field(default_factory=dict[str, bytes])
    offered: set[str] = field(default_factory=set[str])
    tarballs: Path | None = None
    """Where image archives are kept from session to session."""
    kept: Kept = field(default_factory=lambda: Kept(None))
    """What images of a digest are, from session to session."""
    nested: tuple[int, str] = (0, "")
    """The port on loopback and the token of this session's API, for execs that use it."""
    module: Module | None = None
    lab: Lab | None = None
    """Asked before a registry is, and before a folder is read."""
    refs: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict[tuple[str, ...], dict[str, str]])
    """What git repositories answered in this session, by address and names: all of a call see one state of them."""
    _outputs: dict[str, str] = field(default_factory=dict[str, str])
    _objects: dict[str, Any] = field(default_factory=dict[str, Any])
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    def host_path(self, path: str) -> Path:
        """Return where something is to be written: `..` is taken by the name, as Dagger does, links and all."""
        return Path(os.path.normpath(self.workdir / path))

    # --- objects ------------------------------------------------------------------------------------------------

    def id_of(self, value: Any) -> str:
        """An opaque id, valid in this session: equal values have equal ids."""
        name = f"{value.TYPE}:{hashlib.sha256(repr(value).encode()).hexdigest()[:32]}"
        identifier = base64.urlsafe_b64encode(name.encode()).decode()
        self._objects[identifier] = value
        return identifier

    def load(self, identifier: str, kind: type[T]) -> T:
        try:
            value = self._objects[identifier]
        except KeyError:
            raise EngineError(f"no object has the id {identifier!r} in this session") from None
        if not isinstance(value, kind):
            raise EngineError(f"the id {identifier!r} is of a {value.TYPE}, not of a {kind.__name__}")
        return value

    def note_output(self, name: str, text: str) -> None:
        """Keep what was read of a command's output, so that a result made of it can be told to come from the cache."""
        if LEAST_OUTPUT <= len(text.strip()) <= MOST_OUTPUT:
            self._outputs[name] = text.strip()

    def from_cache(self, text: str) -> list[str]:
        """Name the commands that did not run in this session and whose kept output is in a text."""
        return [name for name, output in self._outputs.items() if output in text and not self.bk.ran(name)]

    def lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    # --- evaluation -----------------------------------------------------------------------------------------------

    async def solve(self, tree: llb.Output) -> Ref:
        """Evaluate a tree; a failed exec becomes the error that `dagger-io` knows."""
        try:
            return await self.bk.solve(tree)
        except SolveError as error:
            raise await self.explain(error, tree) from None

    async def export_tree(self, tree: llb.Output, exporter: str, attrs: Mapping[str, str]) -> dict[str, str]:
        try:
            return await self.bk.export(tree, exporter, attrs)
        except SolveError as error:
            raise await self.explain(error, tree) from None

    async def write_to_host(self, tree: llb.Output, folder: Path) -> None:
        """Write a tree into a folder of the host; what can't be written there is not BuildKit's trouble."""
        async with self.attachables.target(folder=folder):
            try:
                await self.bk.export(tree, "local", {})
            except SolveError as error:
                _, receiver, cause = error.message.rpartition(RECEIVER)
                if receiver:
                    hint = "Free some space there, or name a folder of another disk." if NO_SPACE in cause else ""
                    raise EngineError(f"can't write to {folder}: {cause}", hint) from None
                raise await self.explain(error) from None

    async def explain(self, error: SolveError, tree: llb.Output = llb.SCRATCH) -> EngineError:
        if error.args_of_exec[:1] != (HELPER_PATH,) or error.exit_code is None:
            return await self.reworded(error, tree)
        instructions, *command = error.args_of_exec[1:]
        stdout, stderr = (text.decode(errors="replace").strip() for text in await self.bk.streams(error.vertex))
        code = error.exit_code
        if code == UNEXPECTED_SUCCESS and json.loads(instructions).get("expect") == "FAILURE":
            code = 0
        if code == HELPER_FAILED and "exec helper:" in stderr:
            return EngineError(shown(stderr.split("\n")[-1]))
        if NO_SPACE in stderr.lower() or NO_SPACE in stdout.lower():
            stderr += f"\n\n{self._no_space()}"
        return ExecFailedError(command, code, stdout, stderr)

    def _no_space(self) -> str:
        """Say what to do when a command found no space left: what it wrote is gone by now, and so is the full disk."""
        if host := os.environ.get("BUILDKIT_HOST"):
            return f"No space was left where the command wrote. Free some on the machine of {shown(host)}."
        free = shutil.disk_usage(self.scratch).free / 1e9
        return (
            "No space was left where the command wrote. If that was the disk of the engine's cache, which has"
            f" {free:.1f} GB free now: {FULL_DISK_HINT}"
        )

    async def _unread(self, error: SolveError, path: str, tree: llb.Output) -> EngineError:
        """Return the error for a path that can't be read: it is not there, or what it comes from can't be had.

        BuildKit pulls an image's layers when something of them is read.
        """
        if NOT_THERE in error.message:
            return missing(path)
        if "not a directory" in error.message:
            return EngineError(f"path {path.lstrip('/')} is a file, not a directory")
        return await self.reworded(error, tree)

    async def reworded(self, error: SolveError, tree: llb.Output = llb.SCRATCH) -> EngineError:
        """Say what BuildKit's text means for who reads it."""
        text = error.message
        if end := self.attachables.end:
            return EngineError(f"the session with the BuildKit engine broke off: {end}; BuildKit says: {text}", AGAIN)
        if NOT_UTF8 in text and (found := not_utf8(tree)):
            return EngineError(
                f"the file name {shown(found)} is not UTF-8, and only such names can be uploaded", "Rename the file."
            )
        if NO_SPACE in text:
            return EngineError(f"the disk of the engine's cache is full: {text}", FULL_DISK_HINT)
        if "is not allowed" in text and "security.insecure" in text:
            return EngineError(
                "this engine refuses privileged execs (security.insecure)",
                'Allow it in its buildkitd.toml: insecure-entitlements = [ "security.insecure" ]',
            )
        fetched = [vertex.name for vertex in llb.vertices(tree) if host_of(vertex.name)]
        vertex = fetched[0] if len(fetched) == 1 else await self.bk.failed(error)
        return self.diagnosed(text, host_of(vertex), f"{shown(vertex)}: {text}" if vertex else text) or error

    def unresolved(self, registry: str, reference: str, platform: str, error: SolveError) -> EngineError:
        """An image that could not be looked up: the registry, the cause, and the way out."""
        text = f'failed to resolve image "{reference}" (platform: "{platform}"): {error.message}'
        return self.diagnosed(error.message, registry, text) or EngineError(text)

    def diagnosed(self, text: str, host: str, full_text: str) -> EngineError | None:
        """Return the error for a text of BuildKit's about a registry, None where the table of causes has none."""
        found = causes.found(text, host, str(user_file()))
        if found is None:
            return None
        hint = f"{found.hint} {self.unreachable_hint}".strip() if found.unreachable else found.hint
        return EngineError(f"{found.message}: {full_text}", hint)

    async def entries(self, directory: Directory, path: str = "") -> list[FileStat]:
        full = directory.at(path)
        image = llb.pinned_image(directory.tree)
        if image and (kept := self.kept.get("entries", image, full)) is not None:
            return [FileStat.of(one) for one in kept]
        reference = await self.solve(directory.tree)
        if not reference and full != "/":
            raise missing(path or directory.path)
        try:
            found = await self.bk.read_dir(reference, full)
        except SolveError as error:
            raise await self._unread(error, path or directory.path, directory.tree) from None
        if image:
            self.kept.put([asdict(one) for one in found], "entries", image, full)
        return found

    async def stat(self, tree: llb.Output, path: str, shown: str) -> FileStat:
        image = llb.pinned_image(tree)
        if image and (kept := self.kept.get("stat", image, path)) is not None:
            if not kept:
                raise missing(shown)
            return FileStat.of(kept)
        reference = await self.solve(tree)
        if not reference:
            if path == "/":
                return FileStat("/", (1 << 31) | 0o755, 0, "")
            raise missing(shown)
        try:
            found = await self.bk.stat(reference, path)
        except SolveError as error:
            if image and NOT_THERE in error.message:
                self.kept.put({}, "stat", image, path)
            raise await self._unread(error, shown, tree) from None
        if image:
            self.kept.put(asdict(found), "stat", image, path)
        return found

    async def lstat(self, tree: llb.Output, path: str, shown: str) -> FileStat:
        """As `stat`, of a link and not of what it leads to."""
        folder, name = posixpath.split(path)
        if not name:
            return await self.stat(tree, path, shown)
        for entry in await self.entries(Directory(tree, folder), ""):
            if entry.name == name:
                return entry
        raise missing(shown)

    async def contents(self, file: File) -> bytes:
        stat = await self.stat(file.tree, file.path, file.path.lstrip("/"))
        if stat.is_dir:
            raise EngineError(f"path {file.path.lstrip('/')} is a directory, not a file")
        image = llb.pinned_image(file.tree)
        if image and (kept := self.kept.get("contents", image, file.path)) is not None:
            return unpacked(kept)
        reference = await self.solve(file.tree)
        try:
            found = await self.bk.read_file(reference, file.path)
        except SolveError as error:
            raise await self._unread(error, file.path.lstrip("/"), file.tree) from None
        if image:
            self.kept.put(packed(found), "contents", image, file.path)
        return found


def not_utf8(tree: llb.Output) -> str:
    """Return the first name that is not UTF-8 in the folders of the host that a tree needs; empty where all are."""
    for vertex in llb.vertices(tree):
        uploaded = vertex.name.removeprefix(UPLOAD)
        for parent, folders, files in os.walk(uploaded) if uploaded != vertex.name else ():
            for name in sorted([*folders, *files]):
                if not name.isascii() and name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") != name:
                    return os.path.join(parent, name)  # noqa: PTH118  a path of such names
    return ""


def missing(path: str) -> EngineError:
    return EngineError(f"stat {path.lstrip('/')}: no such file or directory")
