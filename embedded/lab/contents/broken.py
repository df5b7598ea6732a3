"""Extensions that are wrong in one way each, for tests: their names say how."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from embedded.lab.contents import extensions, seeded, services
from embedded.lab.contents.extensions import modules
from embedded.lab.contents.manifest import Manifest
from embedded.lab.contents.releases import REGISTRY
from embedded.lab.contents.seeded import image_root, program
from embedded.lab.debian import ARCHITECTURES
from embedded.lab.errors import LabError
from embedded.lab.oci import Layer, Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Tree

VERSION: Final = "1.0.0"
CUT: Final = 700_000
"""Bytes that are left of the truncated layer, of more than a million."""
_SIZE: Final = 1_200_000

_SIGNED: Final = b"~Module signature appended~\n"
"""The end of a signed module; without it, what a change would have made invalid is no signature at all."""

Build = Callable[[Bench, Manifest, str], Tree]


def _program(architecture: str, path: str = "usr/local/bin") -> Tree:
    return Tree().add(f"{path}/broken", program(architecture, "broken", VERSION, _SIZE))


def _sound(_: Bench, manifest: Manifest, architecture: str) -> Tree:
    return image_root(manifest, _program(architecture))


def _foreign(__: Bench, manifest: Manifest, _: str) -> Tree:
    return image_root(manifest, _program("amd64"))


def _no_manifest(bench: Bench, manifest: Manifest, architecture: str) -> Tree:
    tree = _sound(bench, manifest, architecture)
    del tree.entries["manifest.yaml"]
    return tree


def _outside(_: Bench, manifest: Manifest, architecture: str) -> Tree:
    return image_root(manifest, _program(architecture, "opt/broken/bin"))


def _world_writable(_: Bench, manifest: Manifest, architecture: str) -> Tree:
    root = _program(architecture).add("usr/local/etc/broken.conf", File(b"broken\n", 0o666))
    return image_root(manifest, root)


def _foreign_module(bench: Bench, manifest: Manifest, architecture: str) -> Tree:
    """Put a module where the lab's kernel looks for it, though by its own words it was built for another one."""
    root = modules(bench, architecture, "extras", ("spl",))
    (path,) = (path for path in root.entries if path.endswith("/spl.ko"))
    entry = root.entries.pop(path)
    assert isinstance(entry, File)
    assert isinstance(entry.content, bytes)
    content = entry.content.removesuffix(_SIGNED)
    release = str(bench.need(f"part/kernel/{architecture}").value["release"])
    # As long as before, so that nothing moves; the second word is what a kernel with symbol versions compares.
    other = f"5.0.0-other-{architecture}".ljust(len(release), "x")[: len(release)]
    magic, words = f"vermagic={release} SMP ".encode(), f"vermagic={other} UP? ".encode()
    if content.count(magic) != 1:
        raise LabError(f"cannot make {bench.name}: spl.ko does not say that it is for {release}")
    root.add(path.replace("/spl.ko", "/foreign.ko"), File(content.replace(magic, words)))
    return image_root(manifest, root)


def _waiting(depends: str) -> Build:
    def build(_: Bench, manifest: Manifest, architecture: str) -> Tree:
        home = f"usr/local/lib/containers/{manifest.name}/usr/local/bin"
        root = _program(architecture, home)
        root.text(f"usr/local/etc/containers/{manifest.name}.yaml", services.waiting(manifest.name, depends))
        return image_root(manifest, root)

    return build


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
    needs: tuple[str, ...] = (),
) -> Recipe:
    manifest = Manifest(named or name, VERSION, "contrib", f"broken for tests: {what}", talos)

    def make(bench: Bench) -> Value:
        pack = _truncated if cut else _plain
        names = ("amd64",) if single else ARCHITECTURES
        platforms = [Platform(one, [pack(bench, build(bench, manifest, one))]) for one in names]
        return bench.image(bench.blobs.put_image(platforms, description=manifest.what, single=single))

    code = (Path(extensions.__file__), Path(seeded.__file__), *seeded.CODE)
    inputs = {"manifest": manifest.text()}
    return Recipe(f"{REGISTRY}/{name}:{VERSION}", make, needs, inputs, code=code)


def recipes() -> list[Recipe]:
    """Return the recipes of the broken extensions."""
    kernels = tuple(f"part/kernel/{name}" for name in ARCHITECTURES)
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
        _recipe("broken-foreign-module", "its module is built for another kernel", _foreign_module, needs=kernels),
        _recipe(
            "broken-waits-for-configuration",
            "its service waits for a configuration that nobody gives",
            _waiting("configuration: true"),
        ),
        _recipe(
            "broken-waits-for-file",
            "its service waits for a file that nobody writes",
            _waiting("path: /var/etc/broken/config.yaml"),
        ),
    ]
