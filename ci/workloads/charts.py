"""Charts as Helm takes them from a checkout: their values, merged down to the charts that they hold, and templates."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ci.workloads.functions import merge
from ci.workloads.gotemplate import TemplateError, parse
from ci.workloads.interpret import Interpreter, plain_lines
from ci.workloads.known import UNKNOWN, read_yaml
from ci.workloads.loose import items, mapping
from ci.workloads.names import release_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.workloads.gotemplate import Node, Template
    from ci.workloads.interpret import Line

_DEEPEST: Final = 6
#: Values that CozyStack hands down to every chart: what is in them depends on the cluster and the tenant.
HANDED_DOWN: Final = ("_cluster", "_namespace")


@dataclass
class Chart:
    """A chart in a checkout, and the charts in it that are installed with it."""

    #: Its folder in the checkout.
    folder: str
    #: `Chart.yaml`, with the names that templates use: `Name`, `Version`, `AppVersion`.
    about: dict[str, Any]
    values: dict[str, Any]
    #: Path below the folder → text.
    files: Mapping[str, str]
    children: list[Chart] = field(default_factory=list["Chart"])

    def all(self) -> Iterator[Chart]:
        """Yield the chart and all charts below it."""
        yield self
        for child in self.children:
            yield from child.all()


@dataclass(frozen=True)
class Rendered:
    """A template's lines with a chart's values; `problem` says why they are the template's own."""

    file: str
    lines: list[Line]
    problem: str | None = None


def load(files: Mapping[str, str], folder: str, overlays: tuple[str, ...] = ()) -> Chart:
    """Return the chart in a folder, with its own values and those of further values files of it."""
    own = {path.removeprefix(f"{folder}/"): text for path, text in files.items() if path.startswith(f"{folder}/")}
    values = _mapping(own.get("values.yaml", ""))
    for name in overlays:
        merge(values, _mapping(own.get(name, "")), override=True)
    values |= {name: UNKNOWN for name in HANDED_DOWN if not values.get(name)}
    return _chart(own, folder, values, 0)


def _mapping(text: str) -> dict[str, Any]:
    return mapping(read_yaml(text))


def _chart(own: Mapping[str, str], folder: str, values: dict[str, Any], depth: int) -> Chart:
    about = _mapping(own.get("Chart.yaml", ""))
    shown: dict[str, Any] = {
        **about,
        "Name": about.get("name", ""),
        "Version": about.get("version", ""),
        "AppVersion": about.get("appVersion", ""),
        "Annotations": about.get("annotations") or {},
        "Type": about.get("type", "application"),
    }
    chart = Chart(folder, shown, values, own)
    if depth < _DEEPEST:
        chart.children = list(_children(chart, own, depth))
    return chart


def _children(chart: Chart, own: Mapping[str, str], depth: int) -> Iterator[Chart]:
    below: dict[str, dict[str, str]] = {}
    for path, text in own.items():
        if path.startswith("charts/") and path.count("/") > 1:
            _, name, rest = path.split("/", 2)
            below.setdefault(name, {})[rest] = text
    dependencies = items(chart.about.get("dependencies"))
    for name, files in sorted(below.items()):
        if "Chart.yaml" not in files:
            continue
        known = str(_mapping(files["Chart.yaml"]).get("name", name))
        for key in _called(known, dependencies, chart.values):
            values = _mapping(files.get("values.yaml", ""))
            merge(values, copy.deepcopy(mapping(chart.values.get(key))), override=True)
            if shared := mapping(chart.values.get("global")):
                merge(values.setdefault("global", {}), copy.deepcopy(shared), override=True)
            yield _chart(files, f"{chart.folder}/charts/{name}", values, depth + 1)


def _called(name: str, dependencies: list[Any], values: dict[str, Any]) -> list[str]:
    """Return the keys of values that a chart is installed by: aliases, its name, or none where it is switched off."""
    listed = [one for one in map(mapping, dependencies) if one.get("name") == name]
    if not listed:
        return [name]
    return [str(one.get("alias") or name) for one in listed if _enabled(str(one.get("condition") or ""), values)]


def _enabled(condition: str, values: dict[str, Any]) -> bool:
    for path in filter(None, (part.strip() for part in condition.split(","))):
        value: Any = values
        for key in path.split("."):
            value = mapping(value).get(key)
        if isinstance(value, bool):
            return value
    return True


class Parsed:
    """Templates by their text, each read once however many charts and values use it."""

    def __init__(self) -> None:
        self._known: dict[str, Template | TemplateError] = {}

    def get(self, text: str) -> Template:
        """Return a template; raises `TemplateError`."""
        if text not in self._known:
            try:
                self._known[text] = parse(text)
            except (TemplateError, RecursionError) as error:
                self._known[text] = TemplateError(str(error))
        found = self._known[text]
        if isinstance(found, TemplateError):
            raise found
        return found


def render(chart: Chart, parsed: Parsed) -> Iterator[Rendered]:
    """Yield what all templates of a chart, and of those in it, give."""
    defines: dict[str, tuple[Node, ...]] = {}
    for one in [*chart.all()][::-1]:  # a chart's own named templates win over those of charts in it
        for path, text in one.files.items():
            if path.startswith("templates/") and "define" in text:
                try:
                    defines.update(parsed.get(text).defines)
                except TemplateError:
                    continue
    release = release_of(chart.folder.removeprefix("packages/"))
    for one in chart.all():
        if one.about["Type"] == "library":
            continue
        for path, text in sorted(one.files.items()):
            if path.startswith("templates/") and path.endswith((".yaml", ".yml")):
                yield _rendered(
                    one, path, text, Interpreter(one.values, one.about, release, one.files, defines), parsed
                )


def _rendered(chart: Chart, path: str, text: str, interpreter: Interpreter, parsed: Parsed) -> Rendered:
    file = f"{chart.folder}/{path}"
    if "{{" not in text:
        return Rendered(file, plain_lines(text))
    try:
        return Rendered(file, interpreter.lines(parsed.get(text).nodes))
    except (TemplateError, RecursionError) as error:
        return Rendered(file, plain_lines(text), str(error))
