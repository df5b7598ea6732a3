"""Finding a module, and a copy of it that holds what `dagger.json` includes and nothing else.

The copy lies below the cache folder under the digest of its content: editing a file that is not included changes
nothing. `include` is read as Dagger reads it: patterns in order, the last that fits a path decides, `!` leaves out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wcmatch import glob as wc

from embedded.engine import DAGGER_VERSION
from embedded.engine.errors import EngineError

FLAGS = wc.GLOBSTAR | wc.DOTGLOB | wc.BRACE | wc.FORCEUNIX
NEVER = {".git", "__pycache__", ".venv", "node_modules"}


@dataclass(frozen=True)
class ModuleSource:
    """A module as its `dagger.json` describes it."""

    root: Path
    """The folder of `dagger.json`."""
    context: Path
    """What `DefaultPath("/…")` starts from: the git repository around the module, or else the module."""
    name: str
    folder: Path
    """The folder of the code, `source` in `dagger.json`."""
    include: tuple[str, ...]

    @property
    def main_object(self) -> str:
        """`cozystack-talos` → `CozystackTalos`."""
        return "".join(part[:1].upper() + part[1:] for part in self.name.replace("_", "-").replace(" ", "-").split("-"))

    @property
    def constructor(self) -> str:
        """The field of the root that makes the main object: `cozystackTalos`."""
        return self.main_object[:1].lower() + self.main_object[1:]


def find_module(workdir: Path, given: Path | None) -> ModuleSource | None:
    """The module that was named, or the one in the working folder or above; None where there is none."""
    if given is not None:
        root = (workdir / given).resolve()
        if not (root / "dagger.json").is_file():
            raise EngineError(f"no module in {given}: {root / 'dagger.json'} does not exist")
        return read_module(root)
    for folder in (workdir, *workdir.parents):
        if (folder / "dagger.json").is_file():
            return read_module(folder)
    return None


def read_module(root: Path) -> ModuleSource:
    path = root / "dagger.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text())
        name = settings["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"can't read the module's settings {path}: {error!r}") from None
    sdk: str | dict[str, Any] = settings.get("sdk") or {}
    language: str = sdk if isinstance(sdk, str) else sdk.get("source", "")
    if language != "python":
        raise EngineError(
            f"not supported by the embedded engine: a module in {language or 'no language'} ({path})",
            "It runs modules in Python; others need a Dagger engine.",
        )
    if settings.get("dependencies"):
        raise EngineError(f"not supported by the embedded engine: dependencies on other modules ({path})")
    folder = (root / settings.get("source", ".")).resolve()
    return ModuleSource(root, _context(root), name, folder, tuple(settings.get("include", ())))


def _context(root: Path) -> Path:
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            return folder
    return root


@cache
def _matcher(pattern: str) -> wc.WcMatcher[str]:
    return wc.compile(pattern, flags=FLAGS)


def includes(source: ModuleSource, path: str) -> bool:
    """Whether a file belongs to the module; the path is relative to its root."""
    if path in ("dagger.json", "pyproject.toml"):
        return True
    inside = True
    for pattern in source.include:
        negated = pattern.startswith("!")
        if _matcher(pattern.removeprefix("!")).match(path):
            inside = not negated
    return inside


def module_files(source: ModuleSource) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(source.root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if name not in NEVER)
        for name in sorted(files):
            path = here / name
            relative = path.relative_to(source.root).as_posix()
            if includes(source, relative):
                yield relative, path


def copy_module(source: ModuleSource, modules: Path) -> Path:
    """The folder below `modules` with the copy in `source/`; what is derived from it may be kept beside that."""
    files = dict(module_files(source))
    digest = hashlib.sha256(f"{DAGGER_VERSION}\0{source.name}\0".encode())
    for relative, path in files.items():
        executable = os.access(path, os.X_OK)
        digest.update(f"{relative}\0{executable}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    target = modules / digest.hexdigest()[:24]
    if not target.exists():
        part = modules / f"{target.name}.{os.getpid()}.part"
        for relative, path in files.items():
            copied = part / "source" / relative
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copied)
        # another call may have been first
        with contextlib.suppress(OSError):
            part.rename(target)
        shutil.rmtree(part, ignore_errors=True)
    return target
