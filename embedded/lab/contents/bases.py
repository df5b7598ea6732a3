"""The images that steps run in: Debian, Python. They are real for this machine's architecture, which runs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from embedded.lab import debian, published
from embedded.lab.contents import seeded
from embedded.lab.contents.layers import layer
from embedded.lab.contents.seeded import program
from embedded.lab.debian import ARCHITECTURES, FOREIGN, NATIVE, SUITE
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Folder, Link, Tree

DEBIAN: Final = "docker.io/library/debian:trixie-slim"
PYTHON: Final = published.tagged(published.PYTHON)
PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The published image has Python below /usr/local and lets pip write there; Debian's pip refuses because of one file.
_PYTHON_HOOKS: Final = (
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'for p in python python3 python3.13; do ln -sf /usr/bin/python3.13 "$1/usr/local/bin/$p"; done',
    'for p in pip pip3; do ln -sf /usr/bin/pip3 "$1/usr/local/bin/$p"; done',
)
_OS_RELEASE: Final = f"""\
PRETTY_NAME="STAND-IN for Debian {SUITE}: the cozystack-talos lab makes it for the machine's own architecture only"
ID=debian
VERSION_CODENAME={SUITE}
"""
_PYTHON_PACKAGES: Final = ("python3", "python3-pip", "python3-venv", "ca-certificates", "netbase", "tzdata")


def root_recipe(name: str, include: tuple[str, ...] = (), hooks: tuple[str, ...] = ()) -> Recipe:
    """Make `part/root/<name>/<this machine's architecture>`: Debian packages, installed, as one layer."""

    def make(bench: Bench) -> Value:
        return {"layer": debian.root(bench, include, hooks).as_json()}

    inputs = {"include": include, "hooks": hooks}
    return Recipe(f"part/root/{name}/{NATIVE}", make, inputs=inputs, code=(Path(debian.__file__),))


def foreign_root(name: str, programs: tuple[str, ...]) -> Recipe:
    """Make `part/root/<name>/<the other architecture>`: a skeleton, as nothing of it can run on this machine.

    It is Debian's layout with programs that say what they stand in for.
    """

    def make(bench: Bench) -> Value:
        tree = Tree().text("usr/lib/os-release", _OS_RELEASE).text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        tree.add("etc/os-release", Link("../usr/lib/os-release")).add("tmp", Folder(0o1777))
        for folder in ("bin", "sbin", "lib"):
            tree.add(folder, Link(f"usr/{folder}")).add(f"usr/{folder}", Folder())
        for path in programs:
            tree.add(path, program(FOREIGN, Path(path).name, SUITE))
        return {"layer": layer(bench, tree).as_json()}

    return Recipe(f"part/root/{name}/{FOREIGN}", make, inputs={"programs": programs}, code=seeded.CODE)


def one_layer_image(reference: str, part: str, config: Mapping[str, Any], description: str) -> Recipe:
    """Make an image for both architectures whose only layer is the one of `<part>/<architecture>`."""
    needs = tuple(f"{part}/{architecture}" for architecture in ARCHITECTURES)

    def make(bench: Bench) -> Value:
        platforms = [Platform(name, [bench.need(f"{part}/{name}").layer], config) for name in ARCHITECTURES]
        return bench.image(bench.blobs.put_image(platforms, description=description))

    return Recipe(reference, make, needs, inputs={"config": config, "description": description})


def recipes() -> list[Recipe]:
    """Return the recipes of Debian's and Python's image."""
    python = {"Env": [f"{PATH}", "LANG=C.UTF-8", "PYTHON_VERSION=3.13"], "Cmd": ["python3"]}
    return [
        root_recipe("debian"),
        foreign_root("debian", ("usr/bin/bash",)),
        root_recipe("python", _PYTHON_PACKAGES, _PYTHON_HOOKS),
        foreign_root("python", ("usr/bin/python3.13",)),
        one_layer_image(DEBIAN, "part/root/debian", {"Env": [PATH]}, "Debian trixie from its packages"),
        one_layer_image(PYTHON, "part/root/python", python, "Debian trixie with its own Python 3.13"),
    ]
