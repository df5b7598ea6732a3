"""Publishing stand-ins to a registry of the tests' own on this machine, and what crane finds there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.setup.paths import EMBEDDED, tool

DAGGERW = EMBEDDED.parent / "daggerw"
SECONDS = 540


def call(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DAGGERW, "--lab", "-s", "call", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=os.environ | {"DAGGERW_ENGINE": "embedded"} | env,
    )


#: A variant with little in it: of what is published, its list of extensions is not looked at.
VARIANTS = Path(__file__).parent / "variants"
VARIANT = "small"
INSTALLER = ("--images", "installer")


def publish(
    address: str, *more: str, chosen: tuple[str, ...] = INSTALLER, **env: str
) -> subprocess.CompletedProcess[str]:
    chosen = (*chosen, "--format", "json")
    return call("--variants", VARIANTS, "publish", "--variant", VARIANT, "--address", address, *chosen, *more, **env)


def published(address: str, *more: str, chosen: tuple[str, ...] = INSTALLER, **env: str) -> dict[str, Any]:
    done = publish(address, *more, chosen=chosen, **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(address: str, *more: str, **env: str) -> str:
    """Return the one line that says why nothing was published."""
    done = publish(address, *more, chosen=INSTALLER, **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr[done.stderr.index("Error: ") :].strip()


def crane(*arguments: object) -> str:
    return subprocess.run(
        [tool("crane"), *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()


@dataclass
class Registry:
    """A registry of the tests' own."""

    host: str


@contextlib.contextmanager
def serving(folder: Path) -> Generator[Registry]:
    command = [tool("crane"), "registry", "serve", "--address", "127.0.0.1:0", "--disk", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = next(found[1] for line in process.stderr if (found := re.search(r"serving on port (\d+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield Registry(f"127.0.0.1:{port}")
        finally:
            process.terminate()


def tags(registry: Registry, repository: str) -> set[str]:
    try:
        listed = set(crane("ls", f"{registry.host}/{repository}").splitlines())
    except subprocess.CalledProcessError:
        return set()
    return {tag for tag in listed if not tag.startswith("sha256-")}
