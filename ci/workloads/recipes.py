"""The Dockerfiles in a checkout, and the lines in them that tie an image to an architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ci.workloads.model import Obstacle, Recipe
from ci.workloads.names import whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DOCKERFILE: Final = re.compile(r"packages/[^/]+/[^/]+/images/(?:.*/)?(?P<image>[^/]+)/Dockerfile(?P<more>\.[\w-]+)?")
_FROM: Final = re.compile(
    r"^FROM\s+(?:--platform=(?P<platform>\S+)\s+)?(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?", re.IGNORECASE
)
_COPY: Final = re.compile(r"^(?:COPY|ADD)\s+.*--from=(?P<image>\S+)", re.IGNORECASE)
_ARG: Final = re.compile(r"^ARG\s+(?P<name>\w+)=(?P<value>\S+)", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<bare>\w+))")
_GOARCH: Final = re.compile(r"\bGOARCH[= ]\"?(?:amd64|386)\b")
_AMD64: Final = re.compile(r"(?<![A-Za-z0-9])(?:amd64|x86_64|x86-64|linux64)(?![A-Za-z0-9])")
_FETCH: Final = re.compile(r"https?://|\b(?:curl|wget)\b|^ADD\b", re.IGNORECASE)
_CHOICE: Final = re.compile(
    r"\b(?:arm64|aarch64)\b|TARGETARCH|dpkg --print-architecture|uname -m|^\s*\(?\s*[\w|\" -]*\)\s"
)
#: Lines of a Dockerfile that are looked at.
_MOST: Final = 5000


def find_recipes(files: Mapping[str, str]) -> tuple[Recipe, ...]:
    """Return the Dockerfiles of a checkout, given as path → text, by the image that each makes."""
    found: list[Recipe] = []
    for path, text in sorted(files.items()):
        match = _DOCKERFILE.fullmatch(path)
        if match and match["more"] != ".dockerignore":
            found.append(_recipe(match["image"], path, text))
    return tuple(found)


@dataclass
class _Dockerfile:
    """What was read of a Dockerfile so far."""

    file: str
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    stages: set[str] = field(default_factory=set[str])
    bases: dict[str, None] = field(default_factory=dict[str, None])
    obstacles: list[Obstacle] = field(default_factory=list[Obstacle])

    def add(self, number: int, line: str, why: str, base: str | None = None) -> None:
        self.obstacles.append(Obstacle(file=self.file, line=number, text=line.strip()[:200], why=why, base=base))

    def read(self, number: int, line: str) -> None:
        if found := _ARG.match(line):
            self.arguments[found["name"]] = found["value"].strip("\"'")
        elif base := _FROM.match(line) or _COPY.match(line):
            self.base(number, line, base)
        elif _GOARCH.search(line):
            self.add(number, line, "compiles for amd64: write GOARCH=$TARGETARCH")
        elif _AMD64.search(line) and not _CHOICE.search(line):
            self.add(number, line, "downloads what is made for amd64" if _FETCH.search(line) else "names amd64")

    def base(self, number: int, line: str, found: re.Match[str]) -> None:
        name = _filled(found["image"], self.arguments)
        groups = found.groupdict()
        platform = groups.get("platform") or ""
        if platform.startswith("linux/amd64"):
            self.add(number, line, f"takes {name} for amd64, whatever is built")
        reference = whole(name if ":" in name or "@" in name else f"{name}:latest")
        # A stage by its name or number, `scratch`, and what runs on the builder's own platform are in nobody's way.
        if reference and name not in self.stages and not name.isdigit() and name != "scratch":
            self.bases[reference] = None
            if "BUILDPLATFORM" not in platform:
                self.add(number, line, "takes a base image", reference)
        if stage := groups.get("stage"):
            self.stages.add(stage)


def _recipe(image: str, file: str, text: str) -> Recipe:
    read = _Dockerfile(file)
    for number, line in _instructions(text):
        read.read(number, line)
    return Recipe(image=image, file=file, obstacles=tuple(read.obstacles), bases=tuple(read.bases))


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines()[:_MOST], 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _filled(text: str, arguments: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        return arguments.get(name, match["default"] or ("arm64" if name == "TARGETARCH" else match[0]))

    for _ in range(3):  # an argument's default may name another
        text = _VARIABLE.sub(one, text)
    return text
