"""What to do about an image that is not there for an architecture: build it, take another tag, keep its pods away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ci.common.values import Value
from ci.workloads.lookup import repository_of, tag_of
from ci.workloads.verdict import State, image_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.workloads.answers import Answers
    from ci.workloads.model import Recipe, Workload, Workloads
    from ci.workloads.verdict import Verdict

#: Where CozyStack's own images are.
OWN: Final = "ghcr.io/cozystack/"


class Advice(Value):
    """What to do about one image."""

    reference: str
    #: One sentence.
    what: str
    #: The Dockerfile in the checkout; empty where the image is somebody else's.
    dockerfile: str = ""
    #: What in it stands in the way, each with its line.
    obstacles: tuple[str, ...] = ()


def lacking(verdict: Verdict) -> tuple[str, ...]:
    """Return the images that packages run and that are not there for the architecture."""
    return tuple(image.reference for image in verdict.images if image.state is State.NO and image.packages)


def bases_to_ask(found: Workloads, references: Iterable[str]) -> tuple[str, ...]:
    """Return the base images of the Dockerfiles of images: they have to be looked up before advice is given."""
    recipes = _recipes(found)
    return tuple(dict.fromkeys(base for name in references if (one := recipes.get(_key(name))) for base in one.bases))


def others(found: Workloads, references: Iterable[str]) -> tuple[str, ...]:
    """Return the repositories of images that have no Dockerfile in the checkout."""
    recipes = _recipes(found)
    return tuple(dict.fromkeys(repository_of(name) for name in references if _key(name) not in recipes))


def _recipes(found: Workloads) -> dict[str, Recipe]:
    return {recipe.image: recipe for recipe in found.recipes}


def _key(reference: str) -> str:
    repository = repository_of(reference)
    # Only CozyStack's own are built from its checkout; another's nginx is not its nginx.
    return repository.rpartition("/")[2] if repository.startswith(OWN) else ""


def advise(found: Workloads, verdict: Verdict, answers: Answers) -> tuple[Advice, ...]:
    """Return what to do about each image that is not there for the architecture."""
    recipes = _recipes(found)
    advice: list[Advice] = []
    for reference in lacking(verdict):
        recipe = recipes.get(_key(reference))
        if recipe is not None:
            advice.append(_build(reference, recipe, answers, verdict.arch))
        else:
            advice.append(Advice(reference=reference, what=_newer(reference, answers, verdict.arch)))
    return tuple(advice)


def _build(reference: str, recipe: Recipe, answers: Answers, arch: str) -> Advice:
    obstacles: list[str] = []
    for one in recipe.obstacles:
        if one.base is None:
            obstacles.append(f"{one.file}:{one.line}: {one.why}: {one.text}")
            continue
        state, reason = image_state(one.base, answers, arch)
        if state is not State.YES:
            what = (
                f"its base {one.base} is not there for {arch}"
                if state is State.NO
                else f"its base {one.base} is not known"
            )
            obstacles.append(f"{one.file}:{one.line}: {what}: {reason}")
    if obstacles:
        what = f"CozyStack builds it; for {arch} this stands in the way"
    else:
        folder = recipe.file.partition("/images/")[0]
        what = (
            f"CozyStack builds it, and nothing in its Dockerfile stands in the way of {arch}: build it with "
            f"`make -C {folder} image PLATFORM=linux/amd64,linux/{arch}`"
        )
    return Advice(reference=reference, what=what, dockerfile=recipe.file, obstacles=tuple(obstacles))


def _newer(reference: str, answers: Answers, arch: str) -> str:
    repository = repository_of(reference)
    newest = answers.newest.get(f"{repository} linux/{arch}")
    if newest is None:
        return f"it is {repository}'s; its newer tags were not looked at"
    if newest.problem:
        return f"it is {repository}'s; its tags can't be listed: {newest.problem}"
    if newest.tag is None:
        return f"none of the newest tags of {repository} is there for {arch}: ask upstream for it"
    manifest = answers.manifest(reference)
    if newest.tag == tag_of(reference) and manifest and manifest.digest_for(f"linux/{arch}"):
        # It is there by its label, and a program for another architecture is in it.
        return f"no newer tag of {repository} is there for {arch}: tell upstream what is in this one"
    if newest.tag == tag_of(reference):
        return f"{repository}:{newest.tag} is there for {arch} by now: the digest is of an older one"
    return f"the newest tag with {arch} is {repository}:{newest.tag}"


def node_selectors(verdict: Verdict, packages: Mapping[str, tuple[str, ...]], arch: str) -> list[dict[str, Any]]:
    """Return patches that keep pods with images that are not there for `arch` on amd64 nodes.

    `packages` has the paths of values that select nodes, by package. Each entry names a package, the images, and
    `patches` as Kustomize and the `postRenderers` of Flux's HelmRelease take them.
    """
    entries: list[dict[str, Any]] = []
    for package in verdict.packages:
        missing = [image for image in package.images if image.runs and image.state is State.NO]
        if not missing:
            continue
        workloads = dict.fromkeys(workload for image in missing for workload in image.workloads)
        entry: dict[str, Any] = {"package": package.name, "images": [image.reference for image in missing]}
        if workloads:
            entry["patches"] = [_patch(workload) for workload in workloads]
        loose = [image for image in missing if not image.workloads]
        if loose:
            entry["note"] = (
                f"an operator makes the pods of {', '.join(image.reference for image in loose)}: select nodes in its "
                f"custom resource or values (kubernetes.io/arch: amd64 instead of {arch})"
            )
            if packages.get(package.name):
                entry["values"] = list(packages[package.name])
        entries.append(entry)
    return entries


def _patch(workload: Workload) -> dict[str, Any]:
    version = {"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1"}.get(workload.kind, "apps/v1")
    spec: dict[str, Any] = {"nodeSelector": {"kubernetes.io/arch": "amd64"}}
    if workload.kind != "Pod":
        spec = {"template": {"spec": spec}}
    if workload.kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    # Of a patch with a target, the name in it does not count.
    document = {"apiVersion": version, "kind": workload.kind, "metadata": {"name": "any"}, "spec": spec}
    return {"target": {"kind": workload.kind, "name": workload.name}, "patch": document}
