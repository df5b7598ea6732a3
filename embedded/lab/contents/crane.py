"""crane, real, built from the module of the engine's own programs: what looks at the images that a build makes.

For the machine's own architecture only, which is the one that runs it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from embedded.lab import golang
from embedded.lab.contents.bases import PATH
from embedded.lab.contents.layers import layer
from embedded.lab.debian import NATIVE
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Tree
from embedded.setup.paths import EMBEDDED

SOURCE: Final = EMBEDDED / "tools"
MODULE: Final = "github.com/google/go-containerregistry"
_MODULE_FILES: Final = (SOURCE / "go.mod", SOURCE / "go.sum")


def version() -> str:
    """Return the version that embedded/tools/go.mod names."""
    found = re.search(rf"^\s*{re.escape(MODULE)} (\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod names no version of crane"
    return found[1]


def reference() -> str:
    """Return the image's reference."""
    return f"gcr.io/go-containerregistry/crane:{version()}"


def _program() -> Recipe:
    def make(bench: Bench) -> Value:
        golang.build(bench, SOURCE, {"crane": f"{MODULE}/cmd/crane"}, NATIVE, bench.out)
        return {}

    return Recipe(f"part/crane/{NATIVE}", make, files=_MODULE_FILES, compiles=True)


def _image() -> Recipe:
    def make(bench: Bench) -> Value:
        tree = Tree().copy(bench.need(f"part/crane/{NATIVE}").folder, "ko-app")
        config = {"Env": [f"{PATH}:/ko-app"], "Entrypoint": ["/ko-app/crane"]}
        platforms = [Platform(NATIVE, [layer(bench, tree)], config)]
        return bench.image(bench.blobs.put_image(platforms, description="crane built from its Go module"))

    return Recipe(
        reference(),
        make,
        (f"part/crane/{NATIVE}",),
        code=(Path(golang.__file__),),
    )


def recipes() -> list[Recipe]:
    """Return the recipes of crane's image."""
    return [_program(), _image()]
