"""The extension catalogs, and the checkouts of CozyStack whose profiles name the lab's images."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

from embedded.lab import git
from embedded.lab.contents import broken
from embedded.lab.contents.extensions import extensions, of_release, profile_extensions
from embedded.lab.contents.layers import layer
from embedded.lab.contents.manifest import AUTHOR
from embedded.lab.contents.releases import REGISTRY, RELEASES, Release
from embedded.lab.debian import ARCHITECTURES
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Tree

KINDS: Final[dict[str, tuple[str, str, str, str]]] = {
    "initramfs": ("metal", "initramfs", "{}", "raw"),
    "installer": ("metal", "installer", "{}", "raw"),
    "iso": ("metal", "iso", "{}", "raw"),
    "kernel": ("metal", "kernel", "{}", "raw"),
    "metal": ("metal", "image", "{ diskSize: 1306525696, diskFormat: raw }", ".xz"),
    "nocloud": ("nocloud", "image", "{ diskSize: 1306525696, diskFormat: raw }", ".xz"),
}
"""Profile → platform, output kind, image options, output format, as upstream has them."""

BOOT_ARGUMENTS: Final = (
    *("initrd=initramfs.xz", "init_on_alloc=1", "slab_nomerge", "pti=on", "console=tty0", "console=ttyS0"),
    *("printk.devkmsg=on", "talos.platform=metal"),
)


@cache
def known() -> dict[str, str]:
    """Return the digests of the extensions that are known beforehand: those need not be made to be listed."""
    recipes = (recipe for extension in extensions().values() for recipe in extension.recipes())
    return {recipe.name: recipe.digest for recipe in recipes if recipe.digest}


def pinned(bench: Bench, reference: str) -> str:
    """Return a reference with the digest of the lab's image."""
    return f"{reference}@{known().get(reference) or bench.need(reference).value['image']['digest']}"


def _unknown(references: Iterable[str]) -> tuple[str, ...]:
    return tuple(reference for reference in references if reference not in known())


def _catalog(release: Release) -> Recipe:
    descriptions = {extension.reference: extension.manifest.description for extension in of_release(release)}
    descriptions |= {recipe.name: _broken_description(recipe) for recipe in broken.recipes()}
    references = sorted(descriptions)

    def make(bench: Bench) -> Value:
        digests = "".join(f"{pinned(bench, reference)}\n" for reference in references)
        texts = "".join(
            f"{pinned(bench, reference)}:\n  author: {AUTHOR}\n  description: |\n    {descriptions[reference]}\n"
            for reference in references
        )
        tree = Tree().text("image-digests", digests).text("descriptions.yaml", texts)
        platforms = [Platform(name, [layer(bench, tree)]) for name in ARCHITECTURES]
        return bench.image(
            bench.blobs.put_image(platforms, description=f"the lab's extension catalog, as of Talos {release.talos}")
        )

    inputs = {"descriptions": descriptions, "known": {name: known().get(name) for name in references}}
    return Recipe(f"{REGISTRY}/extensions:{release.talos}", make, _unknown(references), inputs)


def _broken_description(recipe: Recipe) -> str:
    text = str(recipe.inputs["manifest"])
    return text.partition("description: |\n    ")[2].partition("\n")[0]


def profile(release: Release, name: str, extensions: list[str]) -> str:
    """Return a profile of upstream's form; `extensions` are references with digests."""
    platform, kind, options, out_format = KINDS[name]
    return (
        "# STAND-IN: made by the cozystack-talos lab\n"
        "arch: amd64\n"
        f"platform: {platform}\n"
        "secureboot: false\n"
        f"version: {release.talos}\n"
        "input:\n"
        "  kernel:\n"
        "    path: /usr/install/amd64/vmlinuz\n"
        "  initramfs:\n"
        "    path: /usr/install/amd64/initramfs.xz\n"
        "  baseInstaller:\n"
        f'    imageRef: "{REGISTRY}/installer:{release.talos}"\n'
        "  systemExtensions:\n" + "".join(f"    - imageRef: {reference}\n" for reference in extensions) + "output:\n"
        f"  kind: {kind}\n"
        f"  imageOptions: {options}\n"
        f"  outFormat: {out_format}\n"
    )


def _checkout(release: Release) -> Recipe:
    references = [extension.reference for extension in profile_extensions(release)]
    matchbox = f"quay.io/poseidon/matchbox:{release.matchbox}"

    def make(bench: Bench) -> Value:
        images = bench.out / release.profiles / "images"
        profiles = images / "talos/profiles"
        profiles.mkdir(parents=True)
        extensions = [pinned(bench, reference) for reference in references]
        for name in KINDS:
            (profiles / f"{name}.yaml").write_text(profile(release, name, extensions))
        boot = {"kernel": "/assets/vmlinuz", "initrd": ["/assets/initramfs.xz"], "args": list(BOOT_ARGUMENTS)}
        documents: dict[str, dict[str, Any]] = {
            "groups": {"id": "default", "name": "default", "profile": "default"},
            "profiles": {"id": "default", "name": "default", "boot": boot},
        }
        for name, document in documents.items():
            (images / "matchbox" / name).mkdir(parents=True)
            (images / "matchbox" / name / "default.json").write_text(json.dumps(document, indent=2) + "\n")
        home = "/var/lib/matchbox"
        (images / "matchbox/Dockerfile").write_text(
            f"FROM {pinned(bench, matchbox) if release.pins_matchbox else matchbox}\n\n"
            f"COPY _out/assets/initramfs-metal-amd64.xz {home}/assets/initramfs.xz\n"
            f"COPY _out/assets/kernel-amd64 {home}/assets/vmlinuz\n"
            f"COPY {release.profiles}/images/matchbox/groups {home}/groups\n"
            f"COPY {release.profiles}/images/matchbox/profiles {home}/profiles\n"
        )
        (bench.out / "STAND-IN.txt").write_text(
            f"This folder stands in for CozyStack {release.cozystack}: "
            "the files that cozystack-talos reads, with the lab's digests.\n"
        )
        message = f"STAND-IN for CozyStack {release.cozystack}"
        commit = git.commit(bench.out, message=message, date=release.date, tag=release.cozystack)
        return {"cozystack": release.cozystack, "talos": release.talos, "commit": commit}

    inputs = {"kinds": KINDS, "boot": BOOT_ARGUMENTS, "release": asdict(release)}
    inputs["known"] = {name: known().get(name) for name in references}
    code = (Path(git.__file__),)
    needs = _unknown([*references, *([matchbox] if release.pins_matchbox else [])])
    return Recipe(f"part/checkout/{release.talos}", make, needs, inputs, code=code)


def recipes() -> list[Recipe]:
    """Return the recipes of the catalogs and checkouts."""
    return [recipe(release) for release in RELEASES for recipe in (_catalog, _checkout)]
