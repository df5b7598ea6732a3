"""The images that steps run in: Debian, Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from embedded.lab import debian
from embedded.lab.debian import ARCHITECTURES
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value

DEBIAN: Final = "docker.io/library/debian:trixie-slim"
PYTHON: Final = "docker.io/library/python:3.13-slim-trixie"
PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The published image has Python below /usr/local and lets pip write there; Debian's pip refuses because of one file.
_PYTHON_HOOKS: Final = (
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'for p in python python3 python3.13; do ln -sf /usr/bin/python3.13 "$1/usr/local/bin/$p"; done',
    'for p in pip pip3; do ln -sf /usr/bin/pip3 "$1/usr/local/bin/$p"; done',
)
_PYTHON_PACKAGES: Final = ("python3", "python3-pip", "python3-venv", "ca-certificates", "netbase", "tzdata")


def root_recipe(name: str, architecture: str, include: tuple[str, ...] = (), hooks: tuple[str, ...] = ()) -> Recipe:
    """Make `part/root/<name>/<architecture>`: a root filesystem of Debian packages as one layer."""

    def make(bench: Bench) -> Value:
        return {"layer": debian.root(bench, architecture, include, hooks).as_json()}

    inputs = {"include": include, "hooks": hooks}
    return Recipe(f"part/root/{name}/{architecture}", make, inputs=inputs, code=(Path(debian.__file__),))


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
        *(root_recipe("debian", name) for name in ARCHITECTURES),
        *(root_recipe("python", name, _PYTHON_PACKAGES, _PYTHON_HOOKS) for name in ARCHITECTURES),
        one_layer_image(DEBIAN, "part/root/debian", {"Env": [PATH]}, "Debian trixie from its packages"),
        one_layer_image(PYTHON, "part/root/python", python, "Debian trixie with its own Python 3.13"),
    ]
