"""The machine's own warm cache in another place, as a CI service restores it, and calls with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.engine.life.leases import stop
from embedded.engine.life.place import MODES, Place
from embedded.engine.module import forkservers
from embedded.setup.contents import CONTENTS, note_contents
from embedded.setup.paths import Paths, paths
from embedded.tests.engine.calls import COLD_SECONDS, DAGGERW

pytestmark = [pytest.mark.engine, pytest.mark.slow]

KEPT = ("lab", "uv-cache")
"""What goes along beside set-up's folders: everything but what runs, and what is made for one place."""


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Path]:
    """Copy what a call needs by hard links below another HOME; gives that HOME."""
    own, copy = paths(), tmp_path / "home" / ".cache" / "cozystack-talos"
    (copy / "setup").mkdir(parents=True)
    for folder in (own.venv, own.bin, own.packages, own.protos, own.uv.parent):
        if folder.exists():
            _copied(folder, copy / "setup" / folder.name)
            _noted(copy / "setup" / folder.name, folder)
    _copied(own.setup / "stamps", copy / "setup" / "stamps")
    for name in KEPT:
        if (own.cache / name).exists():
            _copied(own.cache / name, copy / name)
    yield tmp_path / "home"
    forkservers.stop_all(copy)
    for mode in MODES:
        stop(Place(copy, mode))
    shutil.rmtree(tmp_path / "home")


def _copied(source: Path, target: Path) -> None:
    linked = subprocess.run(["cp", "-al", source, target], check=False, capture_output=True)
    if linked.returncode:  # on another disk
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", source, target], check=True)


def _noted(copy: Path, place: Path) -> None:
    """Have a folder say where it was made, also one that an earlier version made; the original is not touched."""
    (copy / CONTENTS).unlink(missing_ok=True)
    note_contents(copy, place)


def call(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    return subprocess.run(
        [DAGGERW, *words],
        env=inherited | {"HOME": str(home), "DAGGERW_ENGINE": "embedded"} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COLD_SECONDS,
        check=False,
    )


def used_of(home: Path, own: Paths) -> list[str]:
    """Return what of the old cache a process that a call left behind has open or runs."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text() + (process / "environ").read_text(errors="replace")
        except OSError:
            continue
        if str(home) in words and f"{own.cache}/" in words:
            found.append(words)
    return found


def test_a_cache_under_another_home_works_at_once_and_uses_nothing_of_the_old_place(restored: Path) -> None:
    own = paths()
    done = call(restored, "--lab", "call", "variants")
    assert done.returncode == 0, done.stderr
    assert "spin-tailscale" in done.stdout
    moved = " ".join(line.removeprefix("daggerw: set-up:").strip() for line in done.stderr.splitlines())
    assert f"this cache was made in {own.cache}, and now is {restored}/.cache/cozystack-talos" in moved
    assert not re.search(r"set-up: .*: done in", done.stderr), "nothing had to be made anew"
    assert used_of(restored, own) == []
    again = call(restored, "--lab", "-s", "call", "variants")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "set-up" not in again.stderr
    # A container, for which the unpacked programs and the lab's images are needed.
    words = ["container", "from", "--address", "docker.io/library/debian:trixie-slim", "with-exec", "--args=echo,here"]
    inside = call(restored, "--lab", "-s", "core", *words, "stdout")
    assert (inside.returncode, inside.stdout) == (0, "here\n"), inside.stderr
    # And moved once more, while nothing of it runs.
    forkservers.stop_all(restored / ".cache/cozystack-talos")
    stop(Place(restored / ".cache/cozystack-talos", "lab"))
    (restored / ".cache").rename(restored / "elsewhere")
    third = call(restored, "--lab", "call", "variants", XDG_CACHE_HOME=str(restored / "elsewhere"))
    assert third.returncode == 0, third.stderr
    assert third.stdout == done.stdout
    forkservers.stop_all(restored / "elsewhere/cozystack-talos")
    stop(Place(restored / "elsewhere/cozystack-talos", "lab"))


def test_a_cache_that_was_restored_in_part_says_what_is_made_anew(restored: Path) -> None:
    cache = restored / ".cache/cozystack-talos"
    venv = cache / "setup" / paths().venv.name
    (package,) = venv.glob("lib/python3*/site-packages/graphql/__init__.py")
    package.unlink()
    shutil.rmtree(cache / "lab")
    done = call(restored, "call", "variants")
    assert done.returncode == 0, done.stderr
    said = " ".join(line.removeprefix("daggerw: set-up:").strip() for line in done.stderr.splitlines())
    assert f"{venv.name} lacks 1 of " in said
    assert "it is made anew" in said
