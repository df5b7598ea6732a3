"""busybox as its image has it for one purpose: a shell that needs nothing beside it."""

from __future__ import annotations

from typing import Final

from embedded.lab.contents.bases import PATH
from embedded.lab.contents.kernel import TOOLS
from embedded.lab.contents.talos import layer
from embedded.lab.debian import ARCHITECTURES, Packages
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Folder, Link, Tree

REFERENCE: Final = "docker.io/library/busybox:1.37.0-musl"


def _program(architecture: str) -> Recipe:
    def make(bench: Bench) -> Value:
        unpacked = bench.scratch / "unpacked"
        Packages(bench).unpack([f"busybox-static:{architecture}"], unpacked)
        (unpacked / "usr/bin/busybox").rename(bench.out / "busybox")
        return {}

    return Recipe(f"part/busybox/{architecture}", make, (TOOLS,))


def _image() -> Recipe:
    def platform(bench: Bench, name: str) -> Platform:
        tree = Tree().copy(bench.need(f"part/busybox/{name}").folder, "bin").add("tmp", Folder(0o1777))
        return Platform(name, [layer(bench, tree.add("bin/sh", Link("busybox")))], {"Env": [PATH], "Cmd": ["sh"]})

    def make(bench: Bench) -> Value:
        platforms = [platform(bench, name) for name in ARCHITECTURES]
        return bench.image(bench.blobs.put_image(platforms, description="busybox of Debian, linked statically"))

    return Recipe(REFERENCE, make, tuple(f"part/busybox/{name}" for name in ARCHITECTURES))


def recipes() -> list[Recipe]:
    """Return the recipes of busybox's image."""
    return [*(_program(name) for name in ARCHITECTURES), _image()]
