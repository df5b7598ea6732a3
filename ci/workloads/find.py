"""The images that each package of a checkout names, with where: by its templates, its values, and its image lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ci.workloads.charts import Parsed, load, render
from ci.workloads.checkout import packages_in
from ci.workloads.interpret import plain_lines
from ci.workloads.known import HOLE, read_yaml
from ci.workloads.loose import mapping
from ci.workloads.model import FoundImage, How, Package, Place, Unresolved, Workloads
from ci.workloads.names import whole
from ci.workloads.needs import find_needs
from ci.workloads.objects import Occurrence, Occurrences, read_objects, written_images
from ci.workloads.recipes import find_recipes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci.workloads.charts import Chart

_OVERLAY: Final = re.compile(r"values-[\w-]+\.yaml")
#: Folders of plain objects that a chart's templates take whole, or that are installed as they are.
_MANIFESTS: Final = ("files/", "manifests/")
_VERSIONS: Final = "files/versions.yaml"
_MOST_VERSIONS: Final = 40
#: What references without registry and folder begin with.
_UNNAMED: Final = "docker.io/library/"
_MOST_UNRESOLVED: Final = 50
_DEEPEST: Final = 9


def find_workloads(files: Mapping[str, str]) -> Workloads:
    """Return all that a checkout, given as path → text, says of its workloads."""
    packages = find_packages(files)
    sources, bundles = find_needs(files, packages)
    return Workloads(packages=packages, sources=sources, bundles=bundles, recipes=find_recipes(files))


def find_packages(files: Mapping[str, str]) -> tuple[Package, ...]:
    """Return all packages of a checkout, given as path → text, with their images."""
    parsed = Parsed()
    below = _by_package(files)
    return tuple(_package(name, below[name], parsed) for name in packages_in(files))


def _by_package(files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path, text in files.items():
        parts = path.split("/", 3)
        if len(parts) > 3:
            found.setdefault(f"{parts[1]}/{parts[2]}", {})[path] = text
    return found


def _package(name: str, files: Mapping[str, str], parsed: Parsed) -> Package:
    folder = f"packages/{name}"
    chart = load(files, folder)
    sure, named = Occurrences(), Occurrences()
    understood = _templates(chart, parsed, sure)
    _plain(chart, sure)
    for path in chart.files:
        if _OVERLAY.fullmatch(path):
            _templates(load(files, folder, (path,)), parsed, named)
    for version in _versions(chart):
        chart.values["version"] = version
        _templates(chart, parsed, named)
    _switched_off(chart, sure, named)
    # Where templates give no image, and are not understood, what the values name is what most likely runs.
    likely = not understood and not sure.found
    _add_values(files, folder, sure, named, likely=likely)
    return Package(
        name=name,
        chart=str(chart.about["Name"]),
        images=merged(sure.found, named.found),
        unresolved=_once(sure.unresolved),
        selectors=tuple(_selectors(chart.values, ())),
    )


def _templates(chart: Chart, parsed: Parsed, out: Occurrences) -> bool:
    """Add the images of a chart's templates; return whether they are understood wholly."""
    whole, some = True, False
    for one in render(chart, parsed):
        some = True
        whole = whole and one.problem is None and not any(HOLE in line.text for line in one.lines)
        found = read_objects(one.file, one.lines)
        out.found += found.found
        out.unresolved += found.unresolved
    return whole and some


def _switched_off(chart: Chart, sure: Occurrences, named: Occurrences) -> None:
    """Add the images that templates write out and that the chart's own values do not come to."""
    known = {one.reference for one in sure.found}
    for part in chart.all():
        for path, text in sorted(part.files.items()):
            if path.startswith("templates/") and path.endswith((".yaml", ".yml")) and "{{" in text:
                found = written_images(f"{part.folder}/{path}", text)
                named.found += [one for one in found if one.reference not in known]


def _plain(chart: Chart, out: Occurrences) -> None:
    """Take what needs no template: lists of images, and objects in files."""
    for path, text in sorted(chart.files.items()):
        file = f"{chart.folder}/{path}"
        if path.startswith("images/") and path.endswith(".tag"):
            for number, line in enumerate(text.splitlines(), 1):
                if reference := whole(line):
                    out.found.append(Occurrence(reference, Place(file=file, line=number, how=How.TAG_FILE)))
        elif path.startswith(_MANIFESTS) and path.endswith((".yaml", ".yml")) and path != _VERSIONS:
            found = read_objects(file, plain_lines(text))
            out.found += found.found


def _versions(chart: Chart) -> list[str]:
    """Return the versions that an application can be ordered in, besides the one that it has by itself."""
    known = mapping(read_yaml(chart.files.get(_VERSIONS, "")))
    if "version" not in chart.values:
        return []
    own = str(chart.values["version"])
    return [str(version) for version in known if str(version) != own][:_MOST_VERSIONS]


def _add_values(files: Mapping[str, str], folder: str, sure: Occurrences, named: Occurrences, *, likely: bool) -> None:
    """Add the images that values name; those of `values.yaml` run if that is likely."""
    known = {one.reference for one in sure.found}
    running = {_untagged(reference) for reference in known}
    last = {_last(reference) for reference in known}
    for one in _values(files, folder):
        if likely and one.place.file.endswith("/values.yaml"):
            sure.found.append(one)
        # The templates' own way of choosing a tag wins over the guess that it is the chart's version, and their
        # registry over the guess that a name without one is Docker Hub's.
        elif one.reference in known or not (
            _untagged(one.reference) in running or (one.reference.startswith(_UNNAMED) and _last(one.reference) in last)
        ):
            named.found.append(one)


def _untagged(reference: str) -> str:
    return reference.partition("@")[0].rpartition(":")[0]


def _last(reference: str) -> str:
    return reference.partition("@")[0].rpartition("/")[2]


def _values(files: Mapping[str, str], folder: str) -> list[Occurrence]:
    """Return the images that values name, as a whole or in parts, whether or not a template takes them."""
    found: list[Occurrence] = []
    for path, text in sorted(files.items()):
        name = path.rpartition("/")[2]
        if not (name == "values.yaml" or _OVERLAY.fullmatch(name)) or not path.startswith(f"{folder}/"):
            continue
        about = mapping(read_yaml(files.get(f"{path.rpartition('/')[0]}/Chart.yaml", "")))
        version = str(about.get("appVersion") or "")
        inner = read_objects(path, plain_lines(text), version)
        hows = {How.RESOURCE: How.VALUE, How.TEMPLATE: How.VALUE}
        for one in inner.found:
            place = one.place.model_copy(update={"how": hows.get(one.place.how, one.place.how)})
            found.append(Occurrence(one.reference, place))
    return found


def merged(sure: Iterable[Occurrence], named: Iterable[Occurrence]) -> tuple[FoundImage, ...]:
    """Return images by reference, each with all places; those that are only named do not run."""
    places: dict[str, dict[Place, None]] = {}
    workloads: dict[str, dict[Any, None]] = {}
    running: set[str] = set()
    for runs, occurrences in ((True, sure), (False, named)):
        for one in occurrences:
            places.setdefault(one.reference, {})[one.place] = None
            if runs:
                running.add(one.reference)
                if one.workload:
                    workloads.setdefault(one.reference, {})[one.workload] = None
    return tuple(
        FoundImage(
            reference=reference,
            places=tuple(places[reference]),
            runs=reference in running,
            workloads=tuple(workloads.get(reference, {})),
        )
        for reference in sorted(places)
    )


def _once(found: Iterable[Unresolved]) -> tuple[Unresolved, ...]:
    return tuple(dict.fromkeys(found))[:_MOST_UNRESOLVED]


def _selectors(values: Any, path: tuple[str, ...]) -> Iterator[str]:
    for key, value in mapping(values).items() if len(path) < _DEEPEST else ():
        if key == "nodeSelector":
            yield ".".join((*path, str(key)))
        else:
            yield from _selectors(value, (*path, str(key)))
