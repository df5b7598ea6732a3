"""What the containers that read and check files have to install: this project's own pins, from its pyproject.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any, Final

from ci.common.paths import TOP

PYPROJECT: Final = TOP / "pyproject.toml"

#: The clients of engine and registries: nothing that runs in those containers imports them.
_NOT_IN_CONTAINERS: Final = ("certifi", "dagger-io", "httpx", "sniffio")


@dataclass(frozen=True)
class Requirements:
    """Two files for pip: what to install, and the versions of it and of all that it needs."""

    requirements: str
    constraints: str


def requirements(pyproject: str, *, extra: str | None = None) -> Requirements:
    """Return the pip files for the project's dependencies; with an extra, those of the extra too."""
    document: dict[str, Any] = tomllib.loads(pyproject)
    project = document["project"]
    names = [name for name in project["dependencies"] if name not in _NOT_IN_CONTAINERS]
    if extra:
        names += project["optional-dependencies"][extra]
    pins = document["tool"]["uv"]["constraint-dependencies"]
    return Requirements(*("".join(f"{line}\n" for line in sorted(lines)) for lines in (names, pins)))
