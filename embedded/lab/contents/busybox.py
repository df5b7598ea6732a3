"""busybox as its image has it for one purpose: a shell that needs nothing beside it."""

from __future__ import annotations

from typing import Final

from embedded.lab import published
from embedded.lab.contents import seeded
from embedded.lab.contents.bases import PATH
from embedded.lab.contents.layers import layer
from embedded.lab.contents.seeded import program
from embedded.lab.debian import ARCHITECTURES, NATIVE, SUITE, Packages
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Folder, Link, Tree

REFERENCE: Final = published.tagged(published.BUSYBOX)
_PART: Final = f"part/busybox/{NATIVE}"


def _program() -> Recipe:
    def make(bench: Bench) -> Value:
        unpacked = bench.scratch / "unpacked"
        Packages(bench).unpack([f"busybox-static:{NATIVE}"], unpacked)
        (unpacked / "usr/bin/busybox").rename(bench.out / "busybox")
        return {}

    return Recipe(_PART, make)


def _image() -> Recipe:
    def platform(bench: Bench, name: str) -> Platform:
        tree = Tree().add("tmp", Folder(0o1777))
        if name == NATIVE:
            tree.copy(bench.need(_PART).folder, "bin")
        else:
            tree.add("bin/busybox", program(name, "busybox", SUITE))
        return Platform(name, [layer(bench, tree.add("bin/sh", Link("busybox")))], {"Env": [PATH], "Cmd": ["sh"]})

    def make(bench: Bench) -> Value:
        platforms = [platform(bench, name) for name in ARCHITECTURES]
        return bench.image(bench.blobs.put_image(platforms, description="busybox of Debian, linked statically"))

    return Recipe(REFERENCE, make, (_PART,), code=seeded.CODE)


def recipes() -> list[Recipe]:
    """Return the recipes of busybox's image."""
    return [_program(), _image()]
