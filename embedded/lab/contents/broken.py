"""Extensions that are wrong in one way each, for tests: their names say how."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Final

from embedded.lab import golang
from embedded.lab.contents.extensions import image_root, stand_ins
from embedded.lab.contents.manifest import Manifest
from embedded.lab.contents.releases import REGISTRY
from embedded.lab.debian import ARCHITECTURES
from embedded.lab.oci import Layer, Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Tree

VERSION: Final = "1.0.0"
CUT: Final = 700_000
"""Bytes that are left of the truncated layer, of more than a million."""

Build = Callable[[Bench, Manifest, str], Tree]


def _program(bench: Bench, architecture: str, path: str = "usr/local/bin") -> Tree:
    return stand_ins(bench, Tree(), architecture, VERSION, path, "broken")


def _sound(bench: Bench, manifest: Manifest, architecture: str) -> Tree:
    return image_root(manifest, _program(bench, architecture))


def _foreign(bench: Bench, manifest: Manifest, _: str) -> Tree:
    return image_root(manifest, _program(bench, "amd64"))


def _no_manifest(bench: Bench, manifest: Manifest, architecture: str) -> Tree:
    tree = _sound(bench, manifest, architecture)
    del tree.entries["manifest.yaml"]
    return tree


def _outside(bench: Bench, manifest: Manifest, architecture: str) -> Tree:
    return image_root(manifest, _program(bench, architecture, "opt/broken/bin"))


def _world_writable(bench: Bench, manifest: Manifest, architecture: str) -> Tree:
    root = _program(bench, architecture).add("usr/local/etc/broken.conf", File(b"broken\n", 0o666))
    return image_root(manifest, root)


def _plain(bench: Bench, tree: Tree) -> Layer:
    return _layer(bench, tree, None)


def _truncated(bench: Bench, tree: Tree) -> Layer:
    return _layer(bench, tree, CUT)


def _layer(bench: Bench, tree: Tree, cut: int | None) -> Layer:
    with tempfile.TemporaryFile(dir=bench.scratch) as file:
        tree.write(file)
        file.seek(0)
        return bench.blobs.put_layer(file, cut=cut)


def _recipe(
    name: str,
    what: str,
    build: Build = _sound,
    *,
    named: str = "",
    talos: str = ">= v1.0.0",
    single: bool = False,
    cut: bool = False,
) -> Recipe:
    manifest = Manifest(named or name, VERSION, "contrib", f"broken for tests: {what}", talos)

    def make(bench: Bench) -> Value:
        pack = _truncated if cut else _plain
        names = ("amd64",) if single else ARCHITECTURES
        platforms = [Platform(one, [pack(bench, build(bench, manifest, one))]) for one in names]
        return bench.image(bench.blobs.put_image(platforms, description=manifest.what, single=single))

    return Recipe(f"{REGISTRY}/{name}:{VERSION}", make, inputs={"manifest": manifest.text()}, files=(golang.PROGRAMS,))


def recipes() -> list[Recipe]:
    """Return the recipes of the broken extensions."""
    return [
        _recipe("broken-foreign-elf", "its arm64 image carries an amd64 program", _foreign),
        _recipe("broken-single-amd64", "one manifest for amd64, no index", single=True),
        _recipe("broken-no-manifest", "it has no manifest.yaml", _no_manifest),
        _recipe("broken-path-outside", "it puts files below /opt", _outside),
        _recipe("broken-world-writable", "anyone may write one of its files", _world_writable),
        _recipe("broken-twice-a", "the extension broken-twice under a first name", named="broken-twice"),
        _recipe("broken-twice-b", "the extension broken-twice under a second name", named="broken-twice"),
        _recipe("broken-too-new", "it wants a Talos that does not exist yet", talos=">= v99.0.0"),
        _recipe("broken-truncated-layer", "its layer ends in the middle", cut=True),
    ]
