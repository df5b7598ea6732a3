"""YAML text to plain values that remember their lines, so that an error can name the place."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from ci.common.errors import FileError, suggest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Path: TypeAlias = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_MERGE = "tag:yaml.org,2002:merge"
# Far above any real file; an alias that contains itself, or a cascade of aliases, ends here.
_DEEPEST = 30
_MOST = 100_000
#: Characters of a file that is read at all: a variant has some thousand, a catalog's descriptions some ten thousand.
LONGEST = 1 << 20
#: Characters of a number: to read one of base 60 costs the square of its length.
_LONGEST_NUMBER = 100
_NUMBER = re.compile(r"[-+]?(?:0x[0-9a-fA-F_]+|0b[01_]+|\.?[0-9][0-9_:.]*(?:[eE][-+]?[0-9]+)?)")
#: The largest whole number; beyond a length, Python refuses to write one down.
_LARGEST = 1 << 64
#: Characters of a value that an error quotes.
_LONGEST_QUOTED = 100
_TEXT = "tag:yaml.org,2002:str"

_EXPECTED = {
    "string_type": "a text is expected",
    "int_type": "a whole number is expected",
    "int_parsing": "a whole number is expected",
    "bool_type": "true or false is expected",
    "bool_parsing": "true or false is expected",
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
    "model_type": "a mapping is expected",
    "dict_type": "a mapping is expected",
    "string_too_short": "some text is expected",
}


@dataclass(frozen=True)
class Document:
    """One YAML document: its value, and the line (from 1) of each key and item by its path."""

    file: str
    data: object
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int | None:
        """Return the line of `path`, or of the nearest thing around it that has one."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Yield every text with its path, in the order of the file."""
        yield from _texts(self.data, ())


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[object]", value)):
            yield from _texts(inner, (*path, index))


def parse_yaml(text: str, file: str, error: type[FileError]) -> Document:
    """Read the only document in `text`.

    Raises `error` for what is not YAML, a key that is given twice, and for a file that is larger or nested deeper than
    any real one.
    """
    lines: dict[Path, int] = {}
    check_size(len(text), file, error)
    try:
        loader = _Loader(_checked(text, file, error, _DEEPEST, aliases=True))
        node = loader.get_single_node()
        if node is None:
            raise error(file, None, "the file is empty")
        return Document(file, _Reader(loader, file, lines, error).value(node, ()), lines)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        said = " ".join(part for part in (problem.context, problem.problem) if part)
        raise error(file, mark.line + 1 if mark else None, f"not YAML: {said}") from None
    except yaml.reader.ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        raise error(file, line, f"not YAML: {problem.reason} (U+{problem.character:04X})") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError) as problem:
        # The safe loader's own constructors fail in all these ways on values that are not of their tag.
        raise error(file, None, f"not YAML: {problem}") from None


def check_size(characters: int, file: str, error: type[FileError], most: int = LONGEST) -> None:
    """Raise `error` for a file that is longer than any real one; `characters` may be its bytes."""
    if characters > most:
        raise error(file, None, f"{characters} characters are too many for this file (limit {most})")


def check_events(
    text: str, file: str, error: type[FileError], deepest: int = _DEEPEST, *, aliases: bool = True
) -> None:
    """Refuse what the loader can't take, before it reads the text: it calls itself for each level of nesting.

    Without `aliases`, they are refused too: what they stand for is not bounded by the text's size.
    """
    for _ in _checked(text, file, error, deepest, aliases=aliases):
        pass


def _checked(text: str, file: str, error: type[FileError], deepest: int, *, aliases: bool) -> Iterator[yaml.Event]:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):  # pyright: ignore[reportUnknownMemberType]
        line = event.start_mark.line + 1 if event.start_mark else None
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > deepest:
            raise error(file, line, f"nested deeper than {deepest} (an alias that contains itself?)")
        if isinstance(event, yaml.AliasEvent) and not aliases:
            raise error(file, line, "YAML aliases have no place here")
        if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
            raise error(file, line, f"a number of {len(event.value)} digits: put it in quotes")
        yield event


class _Loader(Composer, SafeConstructor, Resolver):
    """The safe loader, of events that are checked: the text, which takes longest, is gone through once."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._events = deque(events)

    def check_event(self, *choices: type[yaml.Event]) -> bool:
        """Tell whether there is a next event, one of some kinds."""
        return bool(self._events) and (not choices or isinstance(self._events[0], choices))

    def peek_event(self) -> yaml.Event:
        """Return the next event, which stays the next one."""
        return self._events[0]

    def get_event(self) -> yaml.Event:
        """Return the next event, and go on to the one after it."""
        return self._events.popleft()


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    text = str(event.value)
    may_be_number = event.tag not in (None, _TEXT) if event.style else event.tag != _TEXT
    return len(text) > _LONGEST_NUMBER and may_be_number and _NUMBER.fullmatch(text) is not None


@dataclass(frozen=True)
class _Reader:
    loader: _Loader
    file: str
    lines: dict[Path, int]
    error: type[FileError]

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(path) > _DEEPEST or len(self.lines) > _MOST:
            raise self.error(self.file, line, "too much in one file (an alias that contains itself?)")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        value: Any = self.loader.construct_object(node)  # pyright: ignore[reportUnknownMemberType]
        if value is not None and not isinstance(value, str | bool | int | float):
            raise self.error(self.file, line, f"{node.value!r} is read as a {type(value).__name__}: put it in quotes")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise self.error(self.file, line, f"{node.value!r} is too large a number: put it in quotes")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(self.file, line, f"{node.value!r} is not a number that can be written: put it in quotes")
        return value

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _MERGE:
                raise self.error(self.file, line, "only plain words can be keys here")
            key = str(key_node.value)
            if key in mapping:
                first = self.lines[*path, key]
                raise self.error(self.file, line, f"key {key!r} is given twice (first on line {first})")
            self.lines[*path, key] = line
            mapping[key] = self.value(value_node, (*path, key))
        return mapping


def validate(model: type[Model], document: Document, error: type[FileError]) -> Model:
    """Make a `model` of the document; raises `error` for the first thing in the file that does not fit.

    An unknown key is answered with the nearest known one.
    """
    data = document.data
    if not isinstance(data, Mapping):
        raise error(document.file, document.line(()), f"a mapping is expected, not {_kind(data)}")
    try:
        return model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as problems:
        detail = min(problems.errors(), key=lambda detail: _order(detail, document))
        raise error(document.file, document.line(_place(detail, document)), _say(detail, model)) from None


def _order(detail: ErrorDetails, document: Document) -> tuple[bool, int]:
    """Return what sorts an unknown key before a missing one: it is most often the same thing, misspelt."""
    return detail["type"] == "missing", document.line(_place(detail, document)) or 0


def _place(detail: ErrorDetails, document: Document) -> Path:
    """Return the longest start of the error's place that is a place in the file: validators add their own steps."""
    path = tuple(detail["loc"])
    while path and path not in document.lines:
        path = path[:-1]
    return path


def _say(detail: ErrorDetails, model: type[BaseModel]) -> str:
    where = spell(detail["loc"])
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        return f"unknown key {where!r}: {suggest(key, _keys_at(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{where!r} is missing"
    text = detail["msg"].removeprefix("Value error, ")
    if detail["type"] != "value_error":
        expected = _EXPECTED.get(detail["type"], text[:1].lower() + text[1:])
        text = f"{expected}, not {_kind(detail['input'])}"
    return f"{where}: {text}" if where else text


def spell(path: Path) -> str:
    """Return a path as errors name it: `extensions.add[0].name`."""
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
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}… ({len(text)} characters)"


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys allowed at `path`: follow fields by alias, and through lists, to the model that stands there."""
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
    for inside in get_args(annotation):
        if found := _model_in(inside):
            return found
    return None
