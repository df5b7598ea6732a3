"""The images in objects: of pods, of custom resources, in operators' arguments and environment, in configuration.

Objects are read from lines that remember where they are from, so that every image has its file and line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from ci.workloads.known import HOLE
from ci.workloads.model import How, Place, Unresolved, Workload
from ci.workloads.names import CHOSEN, anywhere, is_image_key, put_together, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci.workloads.interpret import Line

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KIND: Final = re.compile(r"^kind: *[\"']?(\w+)", re.MULTILINE)
_HINT: Final = re.compile(r"image|:[^ ]*@sha256:|[a-z0-9]\.[a-z]{2,}/", re.IGNORECASE)
#: Objects that run pods, and those whose texts are others' configuration.
WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"})
_CONFIGURATION: Final = frozenset({"ConfigMap", "Secret"})
_NO_WORKLOADS: Final = frozenset({"CustomResourceDefinition", "HelmRepository", "OCIRepository", "GitRepository"})
_ARGUMENT: Final = re.compile(r"-{1,2}[\w.-]*image[\w.-]*(?:=(?P<value>\S+))?", re.IGNORECASE)
#: What a mapping that names an image in parts has: where the name is, and where the version is.
_PARTS: Final = ("repository", "image", "name")
_VERSIONS: Final = ("tag", "version", "imageTag")
_DIGESTS: Final = ("digest", "sha", "sha256")
_KEYED: Final = re.compile(r"^\s*(?:- +)*[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s+(?P<value>\S.*?)\s*$")
_COMMENT: Final = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_DEEPEST: Final = 60


@dataclass(frozen=True)
class Occurrence:
    """An image where it is named."""

    reference: str
    place: Place
    workload: Workload | None = None


@dataclass
class Occurrences:
    """What one reading found."""

    found: list[Occurrence] = field(default_factory=list[Occurrence])
    unresolved: list[Unresolved] = field(default_factory=list[Unresolved])


def read_objects(file: str, lines: Sequence[Line], default_tag: str = "") -> Occurrences:
    """Return the images in a file of objects; an image in parts without a tag has the default one."""
    found = Occurrences()
    for document in _documents(lines):
        text = "\n".join(line.text for line in document)
        kind = match[1] if (match := _KIND.search(text)) else ""
        if kind in _NO_WORKLOADS or not _HINT.search(text):
            continue
        reader = _Reader(found, file, [line.line for line in document], kind, _workload(kind, text))
        reader.default_tag = default_tag
        if _is_test(text):
            continue
        try:
            node: Any = yaml.compose(text, Loader=_Loader)
        except (yaml.YAMLError, ValueError, RecursionError):
            reader.plain(document)
            continue
        if node is not None:
            reader.visit(node, "", ())
    return found


def written_images(file: str, text: str) -> Iterator[Occurrence]:
    """Yield the images that a template's own lines name, whatever its conditions say of them."""
    bare = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    for number, line in enumerate(bare.splitlines(), 1):
        if "image" not in line.lower():
            continue
        match = _KEYED.match(re.sub(r"(^|\s)#.*", "", line))
        if match and is_image_key(match["key"]) and (reference := whole(match["value"].strip("\"',"))):
            yield Occurrence(reference, Place(file=file, line=number, how=How.TEMPLATE))


def _documents(lines: Sequence[Line]) -> Iterator[list[Line]]:
    current: list[Line] = []
    for line in lines:
        if line.text.startswith("---"):
            yield current
            current = []
        else:
            current.append(line)
    yield current


def _is_test(text: str) -> bool:
    """Say whether an object belongs to `helm test`, which nobody runs on a cluster that works."""
    return re.search(r"^\s+[\"']?helm\.sh/hook[\"']?:\s*[\"']?test", text, re.MULTILINE) is not None


def _workload(kind: str, text: str) -> Workload | None:
    if kind not in WORKLOADS:
        return None
    match = re.search(r"^metadata:\n(?:[ #].*\n|\n)*?  name: *[\"']?(?P<name>[^\"'\s]+)", text + "\n", re.MULTILINE)
    name = match["name"] if match else HOLE
    return Workload(kind=kind, name=re.sub(f"(?:{HOLE}|{CHOSEN})+", ".*", name))


def _said(node: yaml.ScalarNode | None) -> str:
    """Return what a scalar says; `null` and `~` say nothing."""
    return "" if node is None or node.tag == "tag:yaml.org,2002:null" else node.value


class _Reader:
    def __init__(self, out: Occurrences, file: str, lines: Sequence[int], kind: str, workload: Workload | None) -> None:
        self.out = out
        self.file = file
        self.lines = lines
        self.kind = kind
        self.workload = workload
        self.depth = 0
        self.default_tag = ""

    def line(self, number: int) -> int:
        return self.lines[min(number, len(self.lines) - 1)]

    def add(self, reference: str, number: int, how: How) -> None:
        place = Place(file=self.file, line=self.line(number), how=how)
        self.out.found.append(Occurrence(reference, place, self.workload))

    def keyed(self, text: str, number: int, how: How) -> None:
        """Take the value of a key that names an image."""
        if HOLE in text:
            self.unresolved(text, number)
        elif reference := whole(text):
            self.add(reference, number, how)
        else:
            self.scan(text, number, how)

    def unresolved(self, text: str, number: int) -> None:
        if text.strip(HOLE + " :@/\"'"):
            shown = text.replace(HOLE, "…").strip()
            self.out.unresolved.append(Unresolved(file=self.file, line=self.line(number), text=shown[:200]))
        else:
            self.out.unresolved.append(Unresolved(file=self.file, line=self.line(number), text="…"))

    def scan(self, text: str, number: int, how: How) -> None:
        for reference in anywhere(text) if "/" in text else ():
            self.add(reference, number, how)

    def plain(self, lines: Iterable[Line]) -> None:
        """Read what is not YAML line by line."""
        for number, line in enumerate(lines):
            text = re.sub(r"(^|\s)#.*", "", line.text)
            match = _KEYED.match(text)
            if match and is_image_key(match["key"]):
                self.keyed(re.sub(r"\{\{.*?\}\}", HOLE, match["value"]).strip("\"',"), number, How.TEMPLATE)
            else:
                self.scan(re.sub(r"\{\{.*?\}\}", HOLE, text), number, How.TEMPLATE)

    def visit(self, node: Any, key: str, path: tuple[str, ...]) -> None:
        self.depth += 1
        if self.depth <= _DEEPEST:
            if isinstance(node, yaml.MappingNode):
                self.mapping(node, key, path)
            elif isinstance(node, yaml.SequenceNode):
                self.sequence(node, key, path)
            elif isinstance(node, yaml.ScalarNode):
                self.scalar(key, node)
        self.depth -= 1

    def mapping(self, node: yaml.MappingNode, key: str, path: tuple[str, ...]) -> None:
        # Where a condition is not known every way is there: of a key, each value counts.
        pairs = [(str(name.value), value) for name, value in node.value if isinstance(name, yaml.ScalarNode)]
        entries = dict(pairs)
        scalars = {name: value for name, value in entries.items() if isinstance(value, yaml.ScalarNode)}
        if self.components(entries):
            return
        taken = self.parts(scalars, key)
        variable = scalars["name"].value if "name" in scalars and "value" in scalars else ""
        for name, value in pairs:
            if name in taken:
                continue
            if name == "value" and variable and isinstance(value, yaml.ScalarNode):
                self.variable(variable, value)
            else:
                self.visit(value, name, (*path, name))

    def variable(self, name: str, node: yaml.ScalarNode) -> None:
        if is_image_key(name) and name.upper() == name:
            self.keyed(node.value, node.start_mark.line, How.ENVIRONMENT)
        else:
            self.texts(node, How.ENVIRONMENT)

    def parts(self, scalars: dict[str, yaml.ScalarNode], key: str) -> tuple[str, ...]:
        """Take an image that a mapping names in parts; return the keys that were taken."""
        versions = [name for name in (*_VERSIONS, *_DIGESTS) if name in scalars]
        name = next(
            (part for part in _PARTS if part in scalars and (part == "repository" or "registry" in scalars)), None
        )
        if name is None or not (versions or is_image_key(key)):
            return ()
        repository = _said(scalars[name])
        inner = scalars.get("image") if name == "repository" else None
        if inner is not None and "/" not in inner.value and inner.value:
            repository = f"{repository}/{inner.value}" if repository else ""
        registry = _said(scalars.get("registry"))
        digest = next((_said(scalars[one]) for one in _DIGESTS if one in scalars), "")
        tag = next((_said(scalars[one]) for one in _VERSIONS if one in scalars), "") or (
            "" if digest else self.default_tag
        )
        number = scalars[name].start_mark.line
        if HOLE in registry + repository + tag + digest:
            self.unresolved(f"{registry}/{repository}:{tag}".strip("/:"), number)
        elif not repository or "://" in repository:
            return ()
        elif reference := put_together(registry, repository, tag, digest):
            self.add(reference, number, How.SPLIT)
        return (name, "registry", *versions, *(("image",) if inner is not None else ()))

    def components(self, entries: dict[str, Any]) -> bool:
        """Take a list of images below one base, as Piraeus' operator has its own."""
        base, components = entries.get("base"), entries.get("components")
        if not isinstance(base, yaml.ScalarNode) or not isinstance(components, yaml.MappingNode):
            return False
        for _, node in components.value:
            if not isinstance(node, yaml.MappingNode):
                continue
            parts = {str(name.value): value for name, value in node.value}
            tag = parts["tag"].value if isinstance(parts.get("tag"), yaml.ScalarNode) else ""
            images = [parts["image"]] if "image" in parts else []
            for choice in parts["match"].value if isinstance(parts.get("match"), yaml.SequenceNode) else ():
                if isinstance(choice, yaml.MappingNode):
                    images += [value for name, value in choice.value if name.value == "image"]
            for image in images:
                reference = put_together(base.value, str(image.value), str(tag), "")
                if reference and HOLE not in reference:
                    self.add(reference, image.start_mark.line, How.CONFIGURATION)
        return True

    def sequence(self, node: yaml.SequenceNode, key: str, path: tuple[str, ...]) -> None:
        before = ""
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode):
                self.visit(item, "", path)
                continue
            match = _ARGUMENT.fullmatch(item.value)
            value = match["value"] if match else None
            if value or (
                before and _ARGUMENT.fullmatch(before) and "=" not in before and not item.value.startswith("-")
            ):
                self.keyed(value or item.value, item.start_mark.line, How.ARGUMENT)
            else:
                self.texts(item, How.RESOURCE if is_image_key(key.removesuffix("s")) else How.ARGUMENT)
            before = item.value

    def scalar(self, key: str, node: yaml.ScalarNode) -> None:
        if is_image_key(key) and "\n" not in node.value:
            in_pods = self.workload is not None and key == "image"
            upper = key.upper() == key
            how = How.TEMPLATE if in_pods else How.ENVIRONMENT if upper else How.RESOURCE
            if self.kind in _CONFIGURATION and not upper:
                how = How.CONFIGURATION
            if node.value:
                self.keyed(node.value, node.start_mark.line, how)
            return
        self.texts(node, How.CONFIGURATION if self.kind in _CONFIGURATION else How.RESOURCE)

    def texts(self, node: yaml.ScalarNode, how: How) -> None:
        """Look through a text: a configuration of its own, or lines in which images are named."""
        text: str = node.value
        first = node.start_mark.line
        if "\n" not in text:
            self.scan(text, first, how)
            return
        first += node.style in ("|", ">")
        if "image" in text.lower() and self.inner(text, first):
            return
        for number, line in enumerate(text.splitlines()):
            bare = re.sub(r"(^|\s)#.*", "", line)
            match = _KEYED.match(bare)
            if (
                match
                and is_image_key(match["key"])
                and HOLE not in bare
                and (made := whole(match["value"].strip("\"',")))
            ):
                self.add(made, first + number, how)
            else:
                self.scan(bare, first + number, how)

    def inner(self, text: str, first: int) -> bool:
        """Read a text that is YAML itself; its lines are those of the object's."""
        try:
            nodes: list[Any] = list(yaml.compose_all(text, Loader=_Loader))
        except (yaml.YAMLError, ValueError, RecursionError):
            return False
        if not any(isinstance(node, yaml.MappingNode | yaml.SequenceNode) for node in nodes):
            return False
        lines = [self.line(first + number) for number in range(text.count("\n") + 1)]
        reader = _Reader(self.out, self.file, lines, "ConfigMap", self.workload)
        reader.depth = self.depth
        for node in nodes:
            reader.visit(node, "", ())
        return True
