"""A program in the place of Helm, for the charts of the lab's packages: `helm template`, with Go's own templates.

For the machine's own architecture only, which is the one that runs it. Helm itself takes minutes to compile.
"""

from __future__ import annotations

from typing import Final

from embedded.lab import golang, published
from embedded.lab.contents.bases import PATH
from embedded.lab.contents.layers import layer
from embedded.lab.debian import NATIVE
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Folder, Link, Tree

REFERENCE: Final = published.tagged(published.HELM)
_PROGRAM: Final = f"part/helm/{NATIVE}"
_SHELL: Final = f"part/busybox/{NATIVE}"
_SOURCE: Final = (golang.PROGRAMS / "go.mod", golang.PROGRAMS / "go.sum", golang.PROGRAMS / "helm")
#: Of the shell's own programs, those that render a checkout's charts.
_COMMANDS: Final = ("sh", "mkdir", "rm", "cat", "ls")


def _program() -> Recipe:
    def make(bench: Bench) -> Value:
        stamps = {"main.version": REFERENCE.rpartition(":")[2]}
        golang.build(bench, golang.PROGRAMS, {"helm": "./helm"}, NATIVE, bench.out, stamps)
        return {}

    return Recipe(
        _PROGRAM, make, inputs={"version": REFERENCE}, files=_SOURCE, compiles=True, on_demand=True
    )  # fmt: skip


def _image() -> Recipe:
    def make(bench: Bench) -> Value:
        tree = Tree().copy(bench.need(_SHELL).folder, "bin").copy(bench.need(_PROGRAM).folder, "usr/bin")
        for command in _COMMANDS:
            tree.add(f"bin/{command}", Link("busybox"))
        config = {"Env": [PATH], "Entrypoint": ["helm"], "Cmd": ["--help"]}
        platforms = [Platform(NATIVE, [layer(bench, tree.add("tmp", Folder(0o1777)))], config)]
        return bench.image(bench.blobs.put_image(platforms, description="renders the charts of the lab's packages"))

    return Recipe(REFERENCE, make, (_PROGRAM, _SHELL), on_demand=True)


def recipes() -> list[Recipe]:
    """Return the recipes of Helm's image."""
    return [_program(), _image()]
