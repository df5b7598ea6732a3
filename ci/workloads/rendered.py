"""What `helm template` made of the packages: the images in its objects, next to those that the text names.

Helm writes the template that an object is from in a comment above it; the line is that of the template in which the
image stands as text, else of its first line that names one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.errors import UpstreamError
from ci.workloads.find import merged
from ci.workloads.interpret import Line
from ci.workloads.lookup import repository_of
from ci.workloads.model import How, Package, Place
from ci.workloads.objects import Occurrence, read_objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ci.workloads.model import FoundImage, Workloads

_SOURCE: Final = re.compile(r"^# Source: (?P<chart>[^/\s]+)/(?P<path>\S+)$", re.MULTILINE)
_IMAGE: Final = re.compile(r"image", re.IGNORECASE)
#: Bytes of one package's objects, CustomResourceDefinitions included.
_LARGEST: Final = 64 << 20


@dataclass(frozen=True)
class Rendering:
    """What Helm printed of one package, or why it did not."""

    text: str = ""
    problem: str | None = None


def read_rendered(folder: Path) -> dict[str, Rendering]:
    """Return package → what Helm printed; raises `UpstreamError` for a folder in which there is nothing of it."""
    found: dict[str, Rendering] = {}
    for path in sorted(folder.rglob("*.yaml")):
        if path.stat().st_size <= _LARGEST:
            name = path.relative_to(folder).with_suffix("").as_posix()
            found[name] = Rendering(text=path.read_bytes().decode("utf-8", "replace"))
    for path in sorted(folder.rglob("*.err")):
        found[path.relative_to(folder).with_suffix("").as_posix()] = Rendering(problem=_reason(path.read_text()))
    if not found:
        raise UpstreamError(
            "--rendered", None, "nothing rendered: it has what `helm template` printed as <group>/<package>.yaml"
        )
    return found


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith("Error")), lines[0] if lines else "helm says nothing")
    return first.removeprefix("Error: ")[:500]


def with_rendered(found: Workloads, rendered: Mapping[str, Rendering], files: Mapping[str, str]) -> Workloads:
    """Return the same with the images of rendered objects: of a package that Helm renders, these are what runs."""
    packages = tuple(
        _package(package, rendered[package.name], files) if package.name in rendered else package
        for package in found.packages
    )
    return found.model_copy(update={"packages": packages})


def _package(package: Package, rendering: Rendering, files: Mapping[str, str]) -> Package:
    if rendering.problem is not None:
        return package.model_copy(update={"not_rendered": rendering.problem})
    sure = [
        Occurrence(one.reference, _placed(one, package, files), one.workload)
        for one in _occurrences(package, rendering.text)
    ]
    running = {one.reference for one in sure}
    # Lists of images and plain files are no templates: Helm has nothing to say of them.
    outside = (How.TAG_FILE,)
    named: list[Occurrence] = []
    for image in package.images:
        for place in image.places:
            sides = place.how in outside or (
                f"packages/{package.name}/templates" not in place.file and "/files/" in place.file
            )
            target = sure if image.runs and image.reference not in running and sides else named
            target.append(Occurrence(image.reference, place))
    return package.model_copy(update={"images": merged(sure, named), "unresolved": (), "not_rendered": None})


def _occurrences(package: Package, text: str) -> Iterator[Occurrence]:
    """Yield the images in what Helm printed, each with the template that it is from as its file."""
    sources = list(_SOURCE.finditer(text))
    for number, match in enumerate(sources):
        end = sources[number + 1].start() if number + 1 < len(sources) else len(text)
        body = text[match.end() : end]
        file = f"packages/{package.name}/{match['path']}"
        yield from read_objects(file, [Line(part, 0) for part in body.split("\n")]).found


def _placed(one: Occurrence, package: Package, files: Mapping[str, str]) -> Place:
    known = _known(package.images, one)
    line = known.line if known else _line(files.get(one.place.file, ""), one.reference)
    return Place(file=one.place.file, line=line, how=How.RENDERED)


def _known(images: tuple[FoundImage, ...], one: Occurrence) -> Place | None:
    for image in images:
        if image.reference == one.reference:
            return next((place for place in image.places if place.file == one.place.file), None)
    return None


def _line(text: str, reference: str) -> int:
    name = repository_of(reference).rpartition("/")[2]
    lines = text.splitlines()
    named = [number for number, line in enumerate(lines, 1) if _IMAGE.search(line)]
    return next((number for number in named if name in lines[number - 1]), named[0] if named else 0)
