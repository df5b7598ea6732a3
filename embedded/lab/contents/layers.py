"""How a recipe writes a tree as a layer."""

from __future__ import annotations

import tempfile

from embedded.lab.oci import Layer
from embedded.lab.recipe import Bench
from embedded.lab.tree import Tree


def layer(bench: Bench, tree: Tree) -> Layer:
    """Write a tree as a layer."""
    with tempfile.TemporaryFile(dir=bench.scratch) as file:
        tree.write(file)
        file.seek(0)
        return bench.blobs.put_layer(file)
