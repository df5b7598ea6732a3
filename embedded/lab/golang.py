"""Programs that the lab builds from Go source."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from embedded.lab.recipe import Bench

LAB: Final = Path(__file__).resolve().parent
PROGRAMS: Final = LAB / "programs"
_FIND: Final = threading.Lock()


def build(
    bench: Bench,
    source: Path,
    packages: Mapping[str, str],
    architecture: str,
    into: Path,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Build static programs.

    Args:
        bench: the recipe's bench.
        source: folder of the Go module.
        packages: program name → Go package.
        architecture: amd64 or arm64.
        into: folder for the programs.
        variables: string variables that the linker sets (`main.version`).
    """
    from embedded.setup.golang import COMPILING, building, go_environment
    from embedded.setup.progress import PlainReporter

    into.mkdir(parents=True, exist_ok=True)
    settings = " ".join(f"-X '{name}={value}'" for name, value in (variables or {}).items())
    go = _go()
    environment = {**go_environment(go), "GOOS": "linux", "GOARCH": architecture, "GOARM64": "v8.0"}
    with building(PlainReporter()):
        for name, package in packages.items():
            bench.say(f"go build {name} ({architecture})")
            flags = (*COMPILING, "-buildvcs=false", f"-ldflags=-s -w -buildid= {settings}")
            bench.run(go, "build", *flags, "-o", into / name, package, env=environment, cwd=source)


@cache
def _find() -> Path:
    from embedded.setup.golang import go_command
    from embedded.setup.progress import PlainReporter

    return go_command(PlainReporter())


def _go() -> Path:
    with _FIND:
        return _find()


def copy_source(folder: Path, to: Path) -> Path:
    """Copy a module's source, for a build that puts files beside it."""
    shutil.copytree(folder, to)
    return to
