"""What a recipe of the lab is, and the bench that it works at."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

from embedded.engine.children import ended_with_parent
from embedded.lab.errors import LabError
from embedded.lab.oci import EPOCH, Blobs, Descriptor, Image, Layer

INTERRUPTED: Final = "the lab's build was interrupted: the next one goes on where it stopped"

FORMAT: Final = 1
"""Raised by hand when oci.py, tree.py or golang.py make something else of the same input: all is made anew then."""

Value = dict[str, Any]
"""What a recipe found out, as JSON; `layer` and `image` name blobs that belong to it."""


@dataclass(frozen=True)
class Recipe:
    """How one thing of the lab is made; its name is an image reference, or `part/…` for what images are made of."""

    name: str
    make: Callable[[Bench], Value]
    needs: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else decides the result: versions, lists of packages. JSON."""
    files: tuple[Path, ...] = ()
    """Files and folders of this repository that go into the result."""
    code: tuple[Path, ...] = ()
    """Python files that decide the result, beside the one of `make`: counted by what they say, not how they look."""
    layers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where layers are known beforehand: architecture → the recipe that makes its layer when it is pulled."""
    compiles: bool = False
    """Whether it takes a Go compiler."""
    on_demand: bool = False
    """Whether it is made only when something asks for it, and is not a part of all of the lab."""
    digest: str = ""
    """Of an image that is known beforehand: who only lists it need not have it made."""

    @property
    def is_image(self) -> bool:
        """Tell whether this is an image that the registry shows."""
        return not self.name.startswith("part/")


@dataclass(frozen=True)
class Result:
    """What a recipe left: its value, its folder (may be empty), and the digest of both."""

    value: Value
    folder: Path
    digest: str

    @property
    def layer(self) -> Layer:
        """The layer of a recipe that makes one."""
        return Layer.from_json(self.value["layer"])

    @property
    def layers(self) -> list[Layer]:
        """That layer, after those of other recipes on which it lies, lowest first."""
        return [*(Layer.from_json(below) for below in self.value.get("below", [])), self.layer]


class Step(Protocol):
    """How a running recipe says what it does."""

    def say(self, text: str) -> None:
        """Show what is being done now."""
        ...


class Programs:
    """The programs that run for one build: none outlives it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self, argv: Sequence[str | Path], *, stdin: bytes | None, env: Mapping[str, str], cwd: Path, log: Path
    ) -> int:
        """Run a program to its end, its output appended to the log; return its exit code."""
        if not shutil.which(argv[0]):
            hint = "the lab is made with apt and the programs of a Debian system: make it on one"
            raise LabError(f"this machine has no {Path(argv[0]).name}", hint=hint)
        with log.open("ab") as output:
            output.write(f"$ {' '.join(str(word) for word in argv)}\n".encode())
            output.flush()
            with self._lock:
                if self._stopped:
                    raise LabError(INTERRUPTED)
                program = subprocess.Popen(
                    [str(word) for word in argv],
                    stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    preexec_fn=ended_with_parent(signal.SIGKILL),  # noqa: PLW1509 - a single call into libc, no lock
                )
                self._running.add(program)
        try:
            program.communicate(stdin)
        finally:
            with self._lock:
                self._running.discard(program)
        # Ctrl-C reaches a program before this process hears of it and says stop.
        if self._stopped or program.returncode == -signal.SIGINT:
            raise LabError(INTERRUPTED)
        return program.returncode

    def stop(self) -> None:
        """End what runs and start nothing more."""
        with self._lock:
            self._stopped = True
            for program in self._running:
                program.kill()  # unshare holds back gentler signals, and takes its child along with this one


@dataclass(frozen=True)
class Bench:
    """What a recipe works with while it is made."""

    name: str
    lab: Path
    """The lab's folder below the cache."""
    out: Path
    """Files left here are the recipe's result."""
    scratch: Path
    """Gone once the recipe is done."""
    blobs: Blobs
    log: Path
    step: Step
    programs: Programs
    results: Mapping[str, Result]
    tools: Callable[[], Path]
    """Unpacks a root filesystem with squashfs-tools, cpio, zstd, dpkg-deb and kmod, and returns its folder."""

    def need(self, name: str) -> Result:
        """Return the result of a recipe that this one needs."""
        return self.results[name]

    def say(self, text: str) -> None:
        """Show what is being done now."""
        self.step.say(text)

    def run(
        self,
        *argv: str | Path,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run a program; raise LabError with its last lines when it fails."""
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "UTC", "LC_ALL": "C.UTF-8", **(env or {})}
        code = self.programs.run(argv, stdin=stdin, env=environment, cwd=cwd or self.scratch, log=self.log)
        if code:
            said = [line for line in self.log.read_text(errors="replace").splitlines() if not line.startswith("$ ")]
            raise LabError(
                f"cannot make {self.name}: {Path(argv[0]).name} ended with {code}",
                tail="\n".join(said[-8:]),
                log=self.log,
                hint="run it again: what is done already stays",
            )

    def run_in_tools(self, *argv: str | Path, cwd: Path | None = None) -> None:
        """Run a program of the tools' root filesystem, which sees the lab's folder at the same path."""
        root = self.tools()
        inside = root / self.lab.relative_to("/")
        script = 'mkdir -p "$1" && mount --bind "$2" "$1" && root=$3 && cd / && shift 3 && exec chroot "$root" "$@"'
        self.run(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", script, "sh", inside, self.lab, root),
            *("env", "--ignore-environment", "--chdir", cwd or self.scratch, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
            *("LC_ALL=C.UTF-8", "TZ=UTC", f"SOURCE_DATE_EPOCH={EPOCH}", *argv),
        )

    def image(self, image: Image) -> Value:
        """Describe a written image as this recipe's value."""
        return {
            "image": image.top.as_json(),
            "manifests": [manifest.as_json() for manifest in image.manifests],
            "blobs": [blob.as_json() for blob in image.blobs],
        }


def blobs_of(value: Value) -> list[Descriptor]:
    """List the blobs that a recipe's value names."""
    named = [*value.get("manifests", []), *value.get("blobs", [])]
    if "layer" in value:
        named.append(value["layer"])
    return [Descriptor.from_json(blob) for blob in named]


def tree_digest(folder: Path) -> str:
    """Return the digest of a folder's names, modes, link targets and contents."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        total.update(f"{path.relative_to(folder)}\0{mode:o}\0".encode())
        if path.is_symlink():
            total.update(str(path.readlink()).encode())
        elif path.is_file():
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{total.hexdigest()}"


@cache
def _source(path: Path) -> str:
    if path.is_dir():
        names = (name for name in sorted(path.rglob("*")) if name.is_file() and "__pycache__" not in name.parts)
        return hashlib.sha256("".join(f"{n.relative_to(path)} {_source(n)}\n" for n in names).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


_parsing = threading.Lock()


@cache
def meaning(path: Path) -> str:
    """Return a digest of what a Python file says, whatever its comments and lines are."""
    # Of two threads that parse at the same time, Python 3.11 fails one now and then (a SystemError of its own making).
    with _parsing:
        tree = ast.parse(path.read_text())
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def key(recipe: Recipe, results: Mapping[str, Result]) -> str:
    """Return the digest of all that decides a recipe's result: its code, inputs, files and needs."""
    parts = [
        FORMAT,
        [meaning(path) for path in (Path(recipe.make.__code__.co_filename), *recipe.code)],
        recipe.inputs,
        [_source(path) for path in recipe.files],
        {name: results[name].digest for name in sorted(recipe.needs)},
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
