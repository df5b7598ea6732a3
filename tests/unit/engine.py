"""A stand-in for the engine: containers that only know what a registry would answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import dagger
import gql

if TYPE_CHECKING:
    from collections.abc import Mapping


#: What Dagger's engine puts behind the texts of its errors.
TRACE = " [traceparent:f66a62484597a7ce21592bcb85e7c6c9-12e3ded55e50ae2a]"


def engine_error(message: str, **extensions: Any) -> dagger.QueryError:
    """What the SDK raises for an answer of the engine: an `ExecError` where the extensions say so."""
    told = cast("Any", _Told(message, extensions))
    return dagger.QueryError([told], cast("Any", gql.gql("{ version }")))


@dataclass
class _Told:
    message: str
    extensions: Mapping[str, Any]

    def __str__(self) -> str:
        return self.message


def exec_error(command: list[str], code: int, stdout: str = "", stderr: str = "") -> dagger.QueryError:
    """What the SDK raises for a command that failed."""
    return engine_error(
        f"exit code: {code}", _type="EXEC_ERROR", cmd=command, exitCode=code, stdout=stdout, stderr=stderr
    )


@dataclass
class Engine:
    """Answers by (reference, platform); an exception is raised. Platform "" is the engine's own."""

    images: Mapping[tuple[str, str], str | Exception]
    #: What the images say of themselves, by reference; else what was asked for.
    platforms: Mapping[str, str] = field(default_factory=dict[str, str])
    #: What lies in the images, by platform: folder → names.
    folders: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict[str, "Mapping[str, list[str]]"])
    #: What the images start, by reference.
    entrypoints: Mapping[str, list[str]] = field(default_factory=dict[str, "list[str]"])

    def container(self, *, platform: str = "") -> Container:
        return Container(self, str(platform))


@dataclass
class Container:
    """A container of which only the image is known."""

    engine: Engine
    asked: str
    reference: str = ""

    def from_(self, reference: str) -> Container:
        return Container(self.engine, self.asked, reference)

    async def image_ref(self) -> str:
        answer = self.engine.images[self.reference, self.asked]
        if isinstance(answer, Exception):
            raise answer
        return f"{self.reference}@{answer}"

    async def platform(self) -> str:
        return self.engine.platforms.get(self.reference, self.asked)

    async def entrypoint(self) -> list[str]:
        return self.engine.entrypoints[self.reference]

    def rootfs(self) -> Root:
        return Root(self.engine.folders.get(self.asked, {}))


@dataclass
class Root:
    """An image's file tree of which only some folders are known."""

    folders: Mapping[str, list[str]]

    async def exists(self, path: str) -> bool:
        return path in self.folders

    async def entries(self, *, path: str) -> list[str]:
        return self.folders[path]
