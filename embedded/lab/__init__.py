"""The stand-in upstream: images of the real names and shapes, made from Debian packages, below the cache folder."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from embedded.lab.builder import Builder, NoProgress, Progress
from embedded.lab.errors import LabError
from embedded.lab.recipe import Result

__all__ = [
    "LabError",
    "builder",
    "checkout_path",
    "ensure",
    "every",
    "folder",
    "for_builds",
    "images",
    "publish",
    "registry_folder",
    "stop",
]


def folder() -> Path:
    """Return the lab's folder below the cache; everything of the lab lies there."""
    from embedded.setup.paths import paths

    return paths().cache / "lab"


def registry_folder() -> Path:
    """Return the folder of blobs, `sha256/<hex>`: what go-containerregistry's registry takes as `--disk`."""
    return folder() / "registry"


@cache
def builder() -> Builder:
    """Return the builder with all recipes."""
    from embedded.lab.contents.every import TOOLS, recipes

    return Builder(folder(), {recipe.name: recipe for recipe in recipes()}, TOOLS)


def for_builds() -> list[str]:
    """Return what a build of any variant asks for; the extensions' layers come to that.

    And crane, for `test`: it takes seconds after BuildKit, which is made of much the same, and half a minute later.
    """
    from embedded.lab.contents import bases, busybox, crane
    from embedded.lab.contents.releases import NEW, REGISTRY

    images = (f"{REGISTRY}/{name}:{NEW.talos}" for name in ("extensions", "imager", "installer-base"))
    return [f"part/checkout/{NEW.talos}", bases.PYTHON, busybox.REFERENCE, crane.reference(), *images]


def images() -> list[str]:
    """Return the references of the images that all of the lab is: those made when they are asked for are left out."""
    return [name for name in every() if builder().recipes[name].is_image]


def every() -> list[str]:
    """Return the names of all recipes but those that are made when something asks for them."""
    from embedded.lab.contents.releases import is_on_demand

    return [name for name, recipe in builder().recipes.items() if not (recipe.on_demand or is_on_demand(name))]


def ensure(
    names: Iterable[str] | None = None,
    *,
    architectures: Iterable[str] | None = None,
    registry: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Result]:
    """Make what is missing, and tell a running registry of it.

    Args:
        names: references of images (`docker.io/library/debian:trixie-slim`) or names of parts; when left out, all but
            what belongs to further releases of Talos.
        architectures: amd64, arm64: of images whose digest is known beforehand, only their layers are made; both when
            left out.
        registry: `127.0.0.1:PORT` of a registry that serves `registry_folder()`.
        progress: where steps are shown.

    Returns the results of these recipes and of all that they need. Raises LabError.
    """
    wanted = list(names) if names is not None else every()
    wanted = builder().with_layers(wanted, None if architectures is None else set(architectures))
    results = builder().results(wanted)
    if results is None:
        results = builder().build(wanted, progress or NoProgress())
    if registry:
        publish(registry, results)
    return results


def stop() -> None:
    """Interrupt what `ensure` does in another thread of this process; it then raises LabError."""
    builder().stop()


def publish(registry: str, results: dict[str, Result] | None = None) -> None:
    """Put the manifests of all images that are made (or of `results`) into the registry at `127.0.0.1:PORT`."""
    from embedded.lab import registry as told

    if results is None:
        results = builder().made()
    images_only = {name: result for name, result in results.items() if "image" in result.value}
    told.publish(registry, builder().blobs, images_only)


def checkout_path(talos: str = "v1.13.6") -> Path:
    """Return the folder that stands in for a checkout of CozyStack whose profiles are for this Talos version.

    It exists once `ensure` has made all of the lab. Raises LabError for a Talos that the lab has not.
    """
    name = f"part/checkout/{talos}"
    if name not in builder().recipes:
        known = [one.rpartition("/")[2] for one in builder().recipes if one.startswith("part/checkout/")]
        raise LabError(f"the lab has no checkout for Talos {talos!r}", hint=f"choose one of {', '.join(known)}")
    return builder().results_folder(name)
