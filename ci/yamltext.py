"""YAML text to plain values that remember their lines, so that an error can name the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from ci.errors import FileError, suggest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Path: TypeAlias = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """One YAML document: its value, and the line (from 1) of each key and item by its path."""

    file: str
    data: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int | None:
        """Return the line of `path`, or of the nearest thing around it that has one."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def parse_yaml(text: str, file: str, error: type[FileError]) -> Document:
    """Read the only document in `text`; raises `error` with file and line for what is no YAML, and for a key given twice."""
    loader = yaml.SafeLoader(text)
    lines: dict[Path, int] = {}
    try:
        node = loader.get_single_node()
        if node is None:
            raise error(file, None, "the file is empty")
        data = _value(loader, node, (), lines, file, error)
    except yaml.YAMLError as problem:
        raise error(file, *_yaml_problem(problem)) from None
    finally:
        loader.dispose()
    return Document(file, data, lines)


def _value(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    path: Path,
    lines: dict[Path, int],
    file: str,
    error: type[FileError],
) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise error(file, line, "only plain words can be keys here")
            key = str(key_node.value)
            if key in mapping:
                raise error(file, line, f"key {key!r} is given twice (first on line {lines[*path, key]})")
            lines[*path, key] = line
            mapping[key] = _value(loader, value_node, (*path, key), lines, file, error)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, index), lines, file, error) for index, item in enumerate(node.value)]
    return cast("Any", loader.construct_object(node))  # pyright: ignore[reportUnknownMemberType]


def _yaml_problem(problem: yaml.YAMLError) -> tuple[int | None, str]:
    if isinstance(problem, yaml.MarkedYAMLError):
        mark = problem.problem_mark or problem.context_mark
        said = " ".join(part for part in (problem.context, problem.problem) if part)
        return (mark.line + 1 if mark else None), f"not YAML: {said}"
    return None, f"not YAML: {problem}"


def validate(model: type[Model], document: Document, error: type[FileError]) -> Model:
    """Make a `model` of the document; raises `error` for the first thing in the file that does not fit.

    An unknown key is answered with the nearest known one.
    """
    if not isinstance(document.data, Mapping):
        raise error(document.file, document.line(()), f"a mapping is expected, not {_kind(document.data)}")
    try:
        return model.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as problems:
        found = [(document.line(_known(detail, document)) or 0, detail) for detail in problems.errors()]
        line, detail = min(found, key=lambda entry: entry[0])
        raise error(document.file, line or None, _say(detail, model)) from None


def _known(detail: ErrorDetails, document: Document) -> Path:
    """The longest start of the error's place that is a place in the file (validators add steps of their own)."""
    path = tuple(detail["loc"])
    while path and path not in document.lines:
        path = path[:-1]
    return path


def _say(detail: ErrorDetails, model: type[BaseModel]) -> str:
    where = _spell(detail["loc"])
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        return f"unknown key {where!r}: {suggest(key, _keys_at(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{where!r} is missing"
    text = detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    if detail["type"] == "value_error":
        return f"{where}: {text}" if where else text
    return f"{where}: {text[:1].lower()}{text[1:]}, not {_kind(given)}"


def _spell(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys allowed at `path`: follows fields by alias, and through lists, to the model that stands there."""
    here = model
    for part in path:
        if isinstance(part, int):
            continue
        field = next((f for n, f in here.model_fields.items() if part in (f.alias, n)), None)
        found = _model_in(field.annotation) if field else None
        if found is None:
            return []
        here = found
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inside in getattr(annotation, "__args__", ()):
        if found := _model_in(inside):
            return found
    return None
