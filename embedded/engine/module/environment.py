"""The virtual environment of a module: what its `pyproject.toml` asks for, and dagger-io of the engine's version.

One for each `pyproject.toml`: a changed line of code needs no new one, since the code is found by PYTHONPATH. It holds
absolute paths, so one in a cache that was moved is not used: its name follows from its place too.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path

from embedded.engine import DAGGER_VERSION
from embedded.engine.errors import EngineError
from embedded.engine.events import OnStep, step
from embedded.setup.paths import UV_VERSION, Paths

REVISION = 2


async def environment(paths: Paths, copy: Path, on_step: OnStep | None = None) -> Path:
    """The interpreter of the module's environment, made at the first call."""
    pyproject = copy / "source" / "pyproject.toml"
    if not pyproject.is_file():
        raise EngineError(f"the module has no pyproject.toml (or its dagger.json does not include it): {pyproject}")
    target = environment_folder(paths.cache, pyproject.read_bytes())
    python, ready = target / "bin" / "python", target / ".ready"
    if ready.exists():
        return python
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not ready.exists():
            with step(on_step, "make the module's environment"):
                await _make(paths, copy, target)
            ready.touch()
    return python


async def _make(paths: Paths, copy: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    await _uv(paths, copy, "venv", "--python", sys.executable, str(target))
    dagger = f"dagger-io=={DAGGER_VERSION.removeprefix('v')}"
    # as Dagger's runtime does it, with the published dagger-io in place of the engine's own
    await _uv(
        paths,
        copy,
        *("pip", "install", "--python", str(target / "bin" / "python"), "--no-sources", "--compile-bytecode"),
        *("-e", ".", dagger),
    )


def environment_folder(cache: Path, pyproject: bytes) -> Path:
    """Return where the environment for a `pyproject.toml` is: its name holds all that it is made of."""
    inputs = "\0".join([str(REVISION), str(cache), DAGGER_VERSION, sys.version, UV_VERSION, ""])
    return cache / "modules" / f"venv-{hashlib.sha256(os.fsencode(inputs) + pyproject).hexdigest()[:24]}"


async def _uv(paths: Paths, copy: Path, *args: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(paths.uv),
        *args,
        cwd=copy / "source",
        env=os.environ | {"UV_CACHE_DIR": str(paths.uv_cache), "UV_NO_PROGRESS": "1", "UV_SYSTEM_CERTS": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    if process.returncode:
        words = out.decode(errors="replace").strip()
        raise EngineError(f"can't make the module's environment (uv {' '.join(args[:2])}):\n{words}")
