"""Make what is missing of a set of recipes, two at a time, and keep what is done.

Below the lab's folder: `stamps/` (one file a recipe: its key and value), `made/` (folders that recipes left),
`registry/` (blobs), `logs/`, `tmp/`. A recipe is made again when its key has changed or something it left is gone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from errno import ENOSPC
from pathlib import Path
from typing import Final, Protocol

from embedded.lab.errors import LabError
from embedded.lab.oci import Blobs
from embedded.lab.recipe import Bench, Programs, Recipe, Result, Step, blobs_of, key, tree_digest

PARALLEL: Final = 2


class Progress(Protocol):
    """Where the builder shows its steps."""

    def step(self, name: str) -> AbstractContextManager[Step]:
        """Show a step while the block runs."""
        ...


class _Silent:
    def say(self, text: str) -> None:
        pass


class NoProgress:
    """Shows nothing."""

    def step(self, name: str) -> AbstractContextManager[Step]:  # noqa: ARG002
        """Take a step without a word."""
        return nullcontext(_Silent())


class Builder:
    """The state of the lab's folder and what can be made there."""

    def __init__(self, lab: Path, recipes: Mapping[str, Recipe], tools: str) -> None:
        """Take the lab's folder, all recipes by name, and which of them makes the tools' root filesystem."""
        self.lab = lab
        self.recipes = recipes
        self.tools = tools
        self.blobs = Blobs(lab / "registry")
        self._run: _Run | None = None

    def stamp(self, name: str) -> Path:
        """Return the file that says that a recipe is done; without it the recipe is made again."""
        return self.lab / "stamps" / f"{_file_name(name)}.json"

    def log(self, name: str) -> Path:
        """Return the file with what the recipe's programs said."""
        return self.lab / "logs" / f"{_file_name(name)}.log"

    def closure(self, names: Iterable[str]) -> list[Recipe]:
        """Return the recipes of these names and all that they need, needed ones first."""
        order: dict[str, Recipe] = {}

        def visit(name: str) -> None:
            if name in order:
                return
            if name not in self.recipes:
                raise LabError(f"the lab has no {name!r}", hint=self._instead_of(name))
            for need in self.recipes[name].needs:
                visit(need)
            order[name] = self.recipes[name]

        for name in names:
            visit(name)
        return list(order.values())

    def with_layers(self, names: Iterable[str], architectures: set[str] | None = None) -> list[str]:
        """Add to images whose digest is known beforehand the recipes that make their layers, of these architectures."""
        wanted = dict.fromkeys(names)
        for name in list(wanted):
            recipe = self.recipes.get(name)
            for architecture, part in recipe.layers.items() if recipe else ():
                if architectures is None or architecture in architectures:
                    wanted[part] = None
        return list(wanted)

    def without_compiling(self, names: Iterable[str]) -> list[str]:
        """Return what of these recipes and their needs can be made without a Go compiler."""
        found: dict[str, None] = {}
        for recipe in self.closure(names):
            if not recipe.compiles and all(need in found for need in recipe.needs):
                found[recipe.name] = None
        return list(found)

    def by_digest(self, repository: str, digest: str) -> str | None:
        """Return the reference of the image with this digest, of the index or a manifest, if it is made or known."""
        for recipe in self.recipes.values():
            if recipe.digest == digest and recipe.name.rpartition(":")[0] == repository:
                return recipe.name
        for name, result in self.made().items():
            named = (blob["digest"] for blob in result.value.get("manifests", []))
            if name.rpartition(":")[0] == repository and digest in named:
                return name
        return None

    def _instead_of(self, name: str) -> str:
        """Say which tags of an image's repository there are, or else how to list all images."""
        repository = name.rpartition(":")[0]
        images = (one.name.rpartition(":") for one in self.recipes.values() if one.is_image)
        tags = sorted(tag for other, _, tag in images if other == repository)
        if not tags:
            return "`./daggerw --engine lab list` lists the images that it has"
        return f"of {repository} it has {', '.join(tags)}"

    def done(self, recipe: Recipe, results: Mapping[str, Result]) -> Result | None:
        """Return what a recipe left earlier, if it still holds."""
        try:
            stamp = json.loads(self.stamp(recipe.name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        folder = self.results_folder(recipe.name)
        whole = folder.is_dir() and all(self.blobs.has(blob) for blob in blobs_of(stamp["value"]))
        if not whole or stamp["key"] != key(recipe, results):
            return None
        return Result(stamp["value"], folder, stamp["digest"])

    def results(self, names: Iterable[str]) -> dict[str, Result] | None:
        """Return the results of these recipes and of what they need, or None when something has to be made."""
        results: dict[str, Result] = {}
        for recipe in self.closure(names):
            result = self.done(recipe, results)
            if result is None:
                return None
            results[recipe.name] = result
        return results

    def made(self) -> dict[str, Result]:
        """Return the results of all recipes that are done."""
        results: dict[str, Result] = {}
        for recipe in self.closure(self.recipes):
            if all(need in results for need in recipe.needs) and (result := self.done(recipe, results)):
                results[recipe.name] = result
        return results

    def results_folder(self, name: str) -> Path:
        """Return the folder with the files of a recipe that is done."""
        return self.lab / "made" / _file_name(name)

    def build(self, names: Iterable[str], progress: Progress) -> dict[str, Result]:
        """Make what is missing of these recipes; one build at a time, others wait for it."""
        wanted = list(names)
        with self._lock(progress):
            self._clean()
            self._run = _Run(self, progress)
            try:
                return self._run.all(self.closure(wanted))
            finally:
                compiled, self._run = self._run.compiled, None
                self._clean()
                shutil.rmtree(self.lab / "apt", ignore_errors=True)  # lists of packages: the next build asks anew
                if compiled:
                    _clear_compiler_caches()

    def stop(self) -> None:
        """Interrupt the build that another thread of this process runs, if there is one: it raises LabError."""
        if run := self._run:
            run.programs.stop()

    @contextmanager
    def _lock(self, progress: Progress) -> Generator[None]:
        self.lab.mkdir(parents=True, exist_ok=True)
        with (self.lab / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step("waiting for another build of the lab"):
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def free(self) -> Generator[bool]:
        """Keep builds out while the block runs; the value says whether none is under way."""
        self.lab.mkdir(parents=True, exist_ok=True)
        with (self.lab / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _clean(self) -> None:
        self.blobs.sweep()
        temporary = self.lab / "tmp"
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        if any(line.split()[4].startswith(f"{temporary}/") for line in mounts):
            raise LabError(f"something is mounted below {temporary}", hint="unmount it, then run this again")
        shutil.rmtree(temporary, ignore_errors=True)


class _Run:
    """One build: the recipes under way and the programs they run."""

    def __init__(self, builder: Builder, progress: Progress) -> None:
        self.builder = builder
        self.progress = progress
        self.programs = Programs()
        self.results: dict[str, Result] = {}
        self.compiled = False
        self._tools = threading.Lock()

    def all(self, recipes: list[Recipe]) -> dict[str, Result]:
        waiting = list(recipes)
        running: dict[Future[Result], str] = {}
        with ThreadPoolExecutor(PARALLEL, "lab") as pool:
            try:
                while waiting or running:
                    for recipe in self._ready(waiting):
                        if result := self.builder.done(recipe, self.results):
                            self.results[recipe.name] = result
                            waiting.remove(recipe)
                        elif len(running) < PARALLEL:
                            running[pool.submit(self._make, recipe)] = recipe.name
                            waiting.remove(recipe)
                    if running and (len(running) == PARALLEL or not self._ready(waiting)):
                        finished, _ = wait(running, return_when=FIRST_COMPLETED)
                        for future in finished:
                            self.results[running.pop(future)] = future.result()
            except BaseException:
                self.programs.stop()
                raise
        return self.results

    def _ready(self, waiting: list[Recipe]) -> list[Recipe]:
        return [recipe for recipe in waiting if all(need in self.results for need in recipe.needs)]

    def _make(self, recipe: Recipe) -> Result:
        builder, name = self.builder, _file_name(recipe.name)
        stamp, folder, log = builder.stamp(recipe.name), builder.results_folder(recipe.name), builder.log(recipe.name)
        for path in (stamp.parent, folder.parent, log.parent, builder.lab / "tmp"):
            path.mkdir(parents=True, exist_ok=True)
        before = _stamped_blobs(stamp)
        stamp.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        with self.progress.step(recipe.name) as step, _folder(builder.lab / "tmp", name) as work:
            out, scratch = work / "out", work / "scratch"
            self.compiled = self.compiled or recipe.compiles
            out.mkdir()
            scratch.mkdir()
            bench = Bench(
                name=recipe.name,
                lab=builder.lab,
                out=out,
                scratch=scratch,
                blobs=builder.blobs,
                log=log,
                step=step,
                programs=self.programs,
                results=self.results,
                tools=self._unpack_tools,
            )
            try:
                value = recipe.make(bench)
            except OSError as error:
                hint = "free some room, then run it again: what is done already stays"
                raise LabError(
                    f"cannot make {recipe.name}: {error}", hint=hint if error.errno == ENOSPC else ""
                ) from error
            digest = _digest(value, out)
            shutil.rmtree(folder, ignore_errors=True)
            out.rename(folder)
        content = {"name": recipe.name, "key": key(recipe, self.results), "digest": digest, "value": value}
        _write(stamp, json.dumps(content, indent=1) + "\n")
        self._remove_unused(before)
        return Result(value, folder, digest)

    def _remove_unused(self, before: set[str]) -> None:
        kept: set[str] = set()
        for stamp in (self.builder.lab / "stamps").glob("*.json"):
            kept |= _stamped_blobs(stamp)
        for digest in before - kept:
            self.builder.blobs.path(digest).unlink(missing_ok=True)

    def _unpack_tools(self) -> Path:
        layers = self.results[self.builder.tools].layers
        folder = self.builder.lab / "tmp" / "tools"
        with self._tools:
            if not folder.exists():
                part = folder.with_suffix(".part")
                part.mkdir(parents=True)
                for layer in layers:
                    command = ["tar", "-xzf", self.builder.blobs.path(layer.blob.digest), "-C", part, "--numeric-owner"]
                    # A layer's folders may be links in the one below it (bin → usr/bin): those stay.
                    subprocess.run([*command, "--keep-directory-symlink"], check=True)
                part.rename(folder)
        return folder


def _clear_compiler_caches() -> None:
    from embedded.setup.golang import clear_caches

    clear_caches()


def _file_name(name: str) -> str:
    return name.replace("/", "+")


def _stamped_blobs(stamp: Path) -> set[str]:
    try:
        return {blob.digest for blob in blobs_of(json.loads(stamp.read_text())["value"])}
    except (FileNotFoundError, json.JSONDecodeError):
        return set()


def _digest(value: Mapping[str, object], folder: Path) -> str:
    text = json.dumps(value, sort_keys=True) + tree_digest(folder)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


@contextmanager
def _folder(parent: Path, name: str) -> Generator[Path]:
    work = Path(tempfile.mkdtemp(dir=parent, prefix=f"{name[:40]}."))
    work.chmod(0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
