"""cosign, real, built from its Go module: what signs and checks images in the containers of a build.

For the machine's own architecture only, which is the one that runs it: it is large, and takes minutes to compile.
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
from embedded.lab.tree import Folder, Tree

SOURCE: Final = golang.LAB / "cosign"
PACKAGE: Final = "github.com/sigstore/cosign/v3"


def version() -> str:
    """Return the version that embedded/lab/cosign/go.mod names."""
    found = re.search(rf"^\s*{re.escape(PACKAGE)} (\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod names no version of cosign"
    return found[1]


def _programs() -> Recipe:
    def make(bench: Bench) -> Value:
        stamps = {"sigs.k8s.io/release-utils/version.gitVersion": version()}
        golang.build(bench, SOURCE, {"cosign": f"{PACKAGE}/cmd/cosign"}, NATIVE, bench.out, stamps)
        return {}

    return Recipe(f"part/cosign/{NATIVE}", make, files=(SOURCE,), compiles=True)


def _image() -> Recipe:
    def make(bench: Bench) -> Value:
        tree = Tree().copy(bench.need(f"part/cosign/{NATIVE}").folder, "ko-app").add("tmp", Folder(0o1777))
        config = {"Env": [f"{PATH}:/ko-app"], "Entrypoint": ["/ko-app/cosign"], "User": "65532"}
        platforms = [Platform(NATIVE, [layer(bench, tree)], config)]
        return bench.image(bench.blobs.put_image(platforms, description="cosign built from its Go module"))

    return Recipe(
        f"ghcr.io/sigstore/cosign/cosign:{version()}", make, (f"part/cosign/{NATIVE}",), code=(Path(golang.__file__),)
    )


def recipes() -> list[Recipe]:
    """Return the recipes of cosign's image."""
    return [_programs(), _image()]
