"""Images whose bytes follow from this code alone: their digests are known before anything of them is made.

A catalog or a profile can list such an image by digest while nobody has asked for its content; `known.json` has what
each layer is. A layer is made when the image is pulled for its architecture, and must come out as listed.
`./daggerw --engine lab known` writes the list anew after a change.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from embedded.lab import elf, payload
from embedded.lab.contents import manifest, services
from embedded.lab.contents.manifest import Manifest
from embedded.lab.debian import ARCHITECTURES
from embedded.lab.errors import LabError
from embedded.lab.oci import Blobs, Descriptor, Image, Layer, Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import File, Folder, Tree

Content = Callable[[str], Tree]
"""Gives an extension's root filesystem for an architecture."""

KNOWN: Final = Path(__file__).with_name("known.json")
FIRMWARE: Final = Path(__file__).with_name("firmware.txt")
CODE: Final = tuple(Path(module.__file__) for module in (elf, payload, manifest, services) if module.__file__)
"""What the bytes follow from, beside this file and the one that says which extensions there are."""


@cache
def known() -> dict[str, dict[str, Any]]:
    """Return the list: reference → architecture → layer."""
    return json.loads(KNOWN.read_text())


def image_root(described: Manifest, root: Tree) -> Tree:
    """Return an extension image's files: `/manifest.yaml` and `/rootfs`."""
    image = Tree().add("rootfs", Folder()).text("manifest.yaml", described.text())
    for path, entry in root.entries.items():
        image.add(f"rootfs/{path}", entry)
    return image


def program(architecture: str, name: str, version: str, size: int = 0, density: float = 1) -> File:
    """Return a program that says what it stands in for, as large and as dense as that."""
    plain = elf.stand_in(architecture, name, version)
    padding = payload.content(f"{name} {version} {architecture}", max(0, size - len(plain)), density)
    return File(plain + padding, 0o755)


def firmware(tree: Tree, pattern: str, *, renamed: Mapping[str, str] | None = None) -> Tree:
    """Add the firmware whose path matches a pattern, under its own name or another one."""
    for line in FIRMWARE.read_text().splitlines():
        if line.startswith("#"):
            continue
        path, size, density = line.split()
        if Path(path).match(pattern):
            said = f"STAND-IN for {path}\n".encode()
            content = said + payload.content(path, int(size), int(density) / 100)
            tree.add(f"usr/lib/firmware/{(renamed or {}).get(path, path)}", File(content[: int(size)]))
    return tree


def recipes(reference: str, described: Manifest, content: Content, code: tuple[Path, ...]) -> list[Recipe]:
    """Return the recipes of a seeded extension: its image, and a layer for each architecture."""
    parts = {name: f"part/layer/{reference.rpartition('/')[2]}/{name}" for name in ARCHITECTURES}
    code = (*CODE, *code)

    def layer(architecture: str) -> Recipe:
        def make(bench: Bench) -> Value:
            made = _layer(bench.blobs, image_root(described, content(architecture)))
            if made != _listed(reference, architecture):
                raise LabError(
                    f"{reference} for {architecture} does not come out as {KNOWN.name} lists it",
                    hint="after a change of the lab's contents, `./daggerw --engine lab known` writes the list anew",
                )
            return {"layer": made.as_json()}

        inputs = {"manifest": described.text(), "known": known().get(reference)}
        return Recipe(parts[architecture], make, inputs=inputs, files=(FIRMWARE,), code=code)

    def make(bench: Bench) -> Value:
        value = bench.image(_put_image(bench.blobs, reference, described))
        layers = {_listed(reference, name).blob.digest for name in ARCHITECTURES}
        return {**value, "blobs": [blob for blob in value["blobs"] if blob["digest"] not in layers]}

    inputs = {"description": described.what, "known": known().get(reference)}
    digest = _put_image(_Hashed(Path()), reference, described).top.digest if reference in known() else ""
    image = Recipe(reference, make, inputs=inputs, layers=parts, digest=digest)
    return [image, *(layer(name) for name in ARCHITECTURES)]


class _Hashed(Blobs):
    """Blobs that are told their digests, and not written."""

    def put(self, content: bytes, media_type: str) -> Descriptor:
        return Descriptor(media_type, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


def _put_image(blobs: Blobs, reference: str, described: Manifest) -> Image:
    platforms = [Platform(name, [_listed(reference, name)]) for name in ARCHITECTURES]
    return blobs.put_image(platforms, description=described.what)


def computed(images: Mapping[str, tuple[Manifest, Content]]) -> dict[str, dict[str, Any]]:
    """Return what `known` must list, by making all of it."""
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder))
        return {
            reference: {name: _layer(blobs, image_root(described, content(name))).as_json() for name in ARCHITECTURES}
            for reference, (described, content) in sorted(images.items())
        }


def _layer(blobs: Blobs, tree: Tree) -> Layer:
    with tempfile.TemporaryFile() as file:
        tree.write(file)
        file.seek(0)
        return blobs.put_layer(file, stored=True)


def _listed(reference: str, architecture: str) -> Layer:
    try:
        return Layer.from_json(known()[reference][architecture])
    except KeyError:
        raise LabError(
            f"{KNOWN.name} does not list {reference}",
            hint="after a change of the lab's contents, `./daggerw --engine lab known` writes the list anew",
        ) from None
