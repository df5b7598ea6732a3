"""What is found of a checkout's workloads, as values: images and where they are named, packages, what needs what."""

from __future__ import annotations

from enum import StrEnum

from ci.common.values import Value


class How(StrEnum):
    """By which form an image is named."""

    VALUE = "value"
    SPLIT = "split value"
    TEMPLATE = "template"
    TAG_FILE = "tag file"
    ENVIRONMENT = "environment"
    ARGUMENT = "argument"
    CONFIGURATION = "configuration"
    RESOURCE = "custom resource"
    RENDERED = "rendered"


class Place(Value):
    """Where something is written: a file of the checkout, and the line in it; 0 where lines are not known."""

    file: str
    line: int
    how: How

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Workload(Value):
    """An object that runs pods; parts of its name that only the installation knows are `.*`."""

    kind: str
    name: str


class FoundImage(Value):
    """An image that a package names, with its registry and tag or digest."""

    reference: str
    places: tuple[Place, ...]
    #: Whether it is among what the package's own values run; others are named, but not run without further settings.
    runs: bool = True
    #: The object whose pods run it, where one is known.
    workloads: tuple[Workload, ...] = ()


class Unresolved(Value):
    """A place that names an image which the checkout alone does not say."""

    file: str
    line: int
    text: str


class Package(Value):
    """A package: a chart at `packages/<name>`."""

    #: Such as `system/cilium`.
    name: str
    #: The chart's name, by which the bundles of CozyStack before v1.0 name it.
    chart: str
    images: tuple[FoundImage, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    #: Why its chart could not be rendered, where that was tried.
    not_rendered: str | None = None
    #: Paths of values that select nodes: `cilium.operator.nodeSelector`.
    selectors: tuple[str, ...] = ()


class Component(Value):
    """A part of a package source: one package, installed or kept for the applications that install it."""

    name: str
    package: str


class Variant(Value):
    """One of the ways in which a package source can be installed."""

    name: str
    components: tuple[Component, ...] = ()
    #: Names of package sources.
    needs: tuple[str, ...] = ()


class PackageSource(Value):
    """What CozyStack's platform installs by name: packages together, with what they need."""

    name: str
    variants: tuple[Variant, ...]
    #: Whether tenants order it: it has a component of `apps/` or `extra/`.
    application: bool = False


class Member(Value):
    """A package source in a bundle, by name and variant."""

    source: str
    variant: str = "default"
    #: Whether it is installed only where it is asked for.
    optional: bool = False


class Bundle(Value):
    """A set of package sources that CozyStack installs together."""

    name: str
    members: tuple[Member, ...] = ()


class Obstacle(Value):
    """A line of a Dockerfile that ties its image to an architecture."""

    file: str
    line: int
    text: str
    why: str
    #: The base image that the line names, to be looked up.
    base: str | None = None


class Recipe(Value):
    """A Dockerfile in the checkout, and what in it stands in the way of another architecture."""

    #: Last part of the image's repository.
    image: str
    file: str
    obstacles: tuple[Obstacle, ...] = ()
    bases: tuple[str, ...] = ()


class Workloads(Value):
    """All that is found of a checkout."""

    packages: tuple[Package, ...]
    sources: tuple[PackageSource, ...]
    bundles: tuple[Bundle, ...]
    recipes: tuple[Recipe, ...] = ()
