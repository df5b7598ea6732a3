"""What starts in an image: the program at its entry point, and the architecture that it is for.

Images exist that are labelled for an architecture and hold programs of another. Layers are read from the topmost down,
until the program is found: a path that an upper layer has hides the one below it. Formats: the OCI image specification
(config, layer), ELF's header (`e_machine`), and `#!`.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ci.inspect.compression import compression_of, expand
from ci.inspect.context import Context
from ci.inspect.limits import GIB, Limits
from ci.inspect.source import ByteStream
from ci.inspect.tar import stream_members
from ci.workloads.answers import Entry
from ci.workloads.loose import items, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.inspect.source import Source

#: What may be read of one image: names, bytes that layers expand to; and bytes of one layer as it is sent.
LIMITS: Final = Limits(entries=400_000, expanded=8 * GIB)
LARGEST_LAYER: Final = 2 * GIB
MOST_LAYERS: Final = 128
_HEAD: Final = 256
_LINKS: Final = 20
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MACHINES: Final = {
    3: "386",
    8: "mips",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
}


@dataclass(frozen=True)
class _File:
    kind: str
    target: str = ""
    head: bytes = b""


@dataclass
class Search:
    """The search for what starts in one image; layers are given from the topmost down."""

    config: Mapping[str, Any]
    _files: dict[str, _File] = field(default_factory=dict[str, _File])
    #: Folders that an upper layer empties, and paths that it takes away.
    _hidden: set[str] = field(default_factory=set[str])
    _context: Context = field(default_factory=lambda: Context(LIMITS))

    @property
    def command(self) -> str:
        """The program that the image names first; empty where it names none."""
        settings = mapping(self.config.get("config"))
        for key in ("Entrypoint", "Cmd"):
            if words := items(settings.get(key)):
                return str(words[0])
        return ""

    def add(self, layer: Source) -> None:
        """Read a layer; raises `InspectError` for one that can't be read."""
        found: dict[str, _File] = {}
        hidden: set[str] = set()
        for member, content in stream_members(ByteStream(layer.name, _expanded(layer, self._context)), self._context):
            folder, name = posixpath.split(member.path)
            if name == _OPAQUE:
                hidden.add(folder)
            elif name.startswith(_WHITEOUT):
                hidden.add(posixpath.join(folder, name.removeprefix(_WHITEOUT)))
            else:
                head = _first(content) if member.type == "file" else b""
                found[member.path] = _File(member.type, member.target or "", head)
        for path, file in found.items():
            if path not in self._files and not any(above in self._hidden for above in _above(path)):
                self._files[path] = file
        self._hidden |= hidden

    def result(self, *, last: bool) -> Entry | None:
        """Return what starts, `None` where a further layer may say; after the `last` one there is always an answer."""
        command = self.command
        if not command:
            return Entry(path="", problem="the image names no program")
        entry = self._program(command, 0)
        if entry is None and last:
            return Entry(path=command, problem=f"{command} is not in the image's layers")
        return entry

    def _program(self, command: str, depth: int) -> Entry | None:
        if depth > 3:
            return Entry(path=command, problem="scripts that start scripts, without an end")
        for path in self._candidates(command):
            found = self._resolve(path)
            if found is not None:
                return self._of(f"/{path}", found, depth)
        return None

    def _candidates(self, command: str) -> Iterator[str]:
        settings = mapping(self.config.get("config"))
        if "/" in command:
            yield posixpath.normpath(posixpath.join("/", str(settings.get("WorkingDir") or "/"), command)).strip("/")
            return
        paths = _PATH
        for variable in items(settings.get("Env")):
            if str(variable).startswith("PATH="):
                paths = str(variable).removeprefix("PATH=")
        for folder in paths.split(":"):
            yield posixpath.normpath(posixpath.join("/", folder, command)).strip("/")

    def _resolve(self, path: str) -> _File | None:
        """Follow links to a file, each part of the path by itself."""
        for _ in range(_LINKS):
            parts = path.split("/")
            for count in range(1, len(parts) + 1):
                here = "/".join(parts[:count])
                file = self._files.get(here)
                if file is not None and file.kind in ("symlink", "hardlink"):
                    base = "/" if file.kind == "hardlink" else posixpath.join("/", posixpath.dirname(here))
                    target = posixpath.normpath(posixpath.join(base, file.target)).strip("/")
                    path = posixpath.join(target, *parts[count:])
                    break
            else:
                file = self._files.get(path)
                return file if file is not None and file.kind == "file" else None
        return None

    def _of(self, path: str, file: _File, depth: int) -> Entry:
        if file.head.startswith(b"\x7fELF") and len(file.head) >= 20:
            order = "big" if file.head[5] == 2 else "little"
            machine = int.from_bytes(file.head[18:20], order)
            return Entry(path=path, arch=_MACHINES.get(machine, f"machine {machine}"))
        match = re.match(rb"#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?([^\s-]\S*))?", file.head)
        if match is None:
            return Entry(path=path, problem=f"{path} is neither an ELF program nor a script")
        interpreter = match[1].decode("utf-8", "replace")
        if posixpath.basename(interpreter) == "env" and match[2]:
            interpreter = match[2].decode("utf-8", "replace")
        inner = self._program(interpreter, depth + 1)
        if inner is None:
            return Entry(path=path, problem=f"{path} is a script for {interpreter}, which is not in the image's layers")
        return inner.model_copy(update={"path": f"{path} ({inner.path})"})


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def _first(content: Iterator[bytes]) -> bytes:
    head = next(content, b"")[:_HEAD]
    return head if head.startswith((b"\x7fELF", b"#!")) else b""


def _expanded(layer: Source, context: Context) -> Iterator[bytes]:
    kind = compression_of(layer.read_up_to(0, 8))
    return expand(layer, kind, context) if kind else layer.chunks()
