"""Five packages of CozyStack, and the images that they run: what `workloads` reads, one image of each kind.

The images have the names of the published ones and a program of a few hundred bytes. They and the checkouts are made
when something asks for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from embedded.lab import git, golang
from embedded.lab.contents import seeded
from embedded.lab.contents.layers import layer
from embedded.lab.contents.releases import NEW
from embedded.lab.contents.seeded import program
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Tree

PACKAGES: Final = golang.LAB / "packages"
"""The packages' charts: what a checkout of CozyStack has at `packages/`."""

BOTH: Final = {"amd64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image by its name, and what is in it."""

    reference: str
    program: str
    """Path of what starts in it."""
    what: str
    programs: Mapping[str, str] = field(default_factory=lambda: dict(BOTH))
    """The architecture that its manifest is for → that of the program in it."""
    attested: bool = False
    single: bool = False


KILO: Final = Image(
    "ghcr.io/cozystack/cozystack/kilo:v1.6.2", "opt/bin/kg", "for both architectures, with attestations", attested=True
)
KUBEOVN: Final = Image(
    "ghcr.io/cozystack/cozystack/kubeovn:v1.15.10",
    "kube-ovn/start-ovs",
    "an index without arm64",
    {"amd64": "amd64"},
    attested=True,
)
CILIUM: Final = Image(
    "quay.io/cilium/operator-generic:v1.19.5",
    "usr/bin/cilium-operator-generic",
    "an index whose image for arm64 has a program for amd64",
    {"amd64": "amd64", "arm64": "amd64"},
)
SHADOWBOX: Final = Image(
    "quay.io/outline/shadowbox:stable", "root/shadowbox", "one manifest for amd64, no index", {"amd64": "amd64"},
    single=True,
)  # fmt: skip
REDIS: Final = Image("docker.io/library/redis:8.4.0", "usr/local/bin/redis-server", "for both architectures")
RUN: Final = (KILO, KUBEOVN, CILIUM, SHADOWBOX, REDIS)
"""What the packages run. Their last image, redis_exporter, is one that the registry does not have."""

EARLIER: Final = Image("ghcr.io/cozystack/cozystack/kubeovn:v1.14.11", KUBEOVN.program, "for both architectures")
OTHERS: Final = (
    EARLIER,
    Image("quay.io/cilium/operator-generic:v1.20.0", CILIUM.program, "for both architectures, as it should be"),
    Image("docker.io/library/golang:1.25", "usr/local/go/bin/go", "for both architectures"),
    Image("docker.io/library/ubuntu:24.04", "usr/bin/bash", "for both architectures"),
)
"""What else is looked up: bases, a newer tag, and what the checkout before runs."""

CHECKOUT: Final = "workloads"
BEFORE: Final = "workloads-before"
"""Names of the checkouts: of the packages, and of those of a release before."""
_BEFORE: Final = "v1.5.4"
_BEFORE_DATE: Final = 1780272000


def _image(image: Image) -> Recipe:
    name, _, version = image.reference.rpartition("/")[2].partition(":")

    def make(bench: Bench) -> Value:
        platforms: list[Platform] = []
        for architecture, inside in image.programs.items():
            tree = Tree().add(image.program, program(inside, name, version))
            platforms.append(Platform(architecture, [layer(bench, tree)], {"Entrypoint": [f"/{image.program}"]}))
        made = bench.blobs.put_image(
            platforms, description=f"{name}: {image.what}", single=image.single, attested=image.attested
        )
        return bench.image(made)

    return Recipe(image.reference, make, inputs=asdict(image), code=seeded.CODE, on_demand=True)


def _checkout(name: str, release: str, date: int, images: tuple[Image, ...], changed: Mapping[str, str]) -> Recipe:
    """Make a checkout; `changed` are texts of its files by those that are there instead."""

    def make(bench: Bench) -> Value:
        packages = bench.out / "packages"
        shutil.copytree(PACKAGES, packages)
        texts = {**changed, KILO.reference: f"{KILO.reference}@{bench.need(KILO.reference).value['image']['digest']}"}
        for path in packages.rglob("values.yaml"):
            text = path.read_text()
            for old, new in texts.items():
                text = text.replace(old, new)
            path.write_text(text)
        (bench.out / "STAND-IN.txt").write_text(
            f"This folder stands in for the packages of CozyStack {release}: five of them, with the lab's images.\n"
        )
        commit = git.commit(bench.out, message=f"STAND-IN for CozyStack {release}", date=date, tag=release)
        return {"cozystack": release, "commit": commit}

    return Recipe(
        f"part/checkout/{name}",
        make,
        tuple(image.reference for image in images),
        {"release": release, "date": date, "changed": dict(changed)},
        files=(PACKAGES,),
        code=(Path(git.__file__),),
        on_demand=True,
    )


def recipes() -> list[Recipe]:
    """Return the recipes of the images and of the two checkouts."""
    before = {KUBEOVN.reference.rpartition(":")[2]: EARLIER.reference.rpartition(":")[2]}
    images = (*RUN, *OTHERS)
    return [
        *map(_image, images),
        _checkout(CHECKOUT, NEW.cozystack, NEW.date, images, {}),
        _checkout(BEFORE, _BEFORE, _BEFORE_DATE, images, before),
    ]
