"""Values of Helm's templates: what is known of them, how they are printed, and how they are read from YAML."""

from __future__ import annotations

from typing import Any, Final

import yaml

from ci.workloads.loose import items, mapping

#: Stands for a value that can't be known from the checkout; in text it is this one character.
HOLE: Final = "\ue000"


class Unknown:
    """A value that can't be known."""

    def __str__(self) -> str:
        return HOLE

    def __bool__(self) -> bool:
        return False

    def __deepcopy__(self, _memo: Any) -> Unknown:
        return self


UNKNOWN: Final = Unknown()

# libyaml's, where PyYAML has it: ten times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Plain(_Loader):
    """YAML as Helm takes it: what looks like a date is text."""


_Plain.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for letter, found in _Loader.yaml_implicit_resolvers.items()
}
#: Characters of a YAML text that is read at all: aliases could make any size of less.
_LONGEST: Final = 4 << 20


def read_yaml(text: str) -> Any:
    """Return the first document of a text, `UNKNOWN` where it is not YAML."""
    if len(text) > _LONGEST or HOLE in text:
        return UNKNOWN
    try:
        return next(iter(yaml.load_all(text, Loader=_Plain)), None)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return UNKNOWN


def text_of(value: Any) -> str:
    """Return how a template prints a value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return HOLE
    return str(value)


def to_yaml(value: Any) -> str:
    """Return a value as `toYaml` writes it."""
    if isinstance(value, Unknown):
        return HOLE
    if isinstance(value, str | int | float | bool) and "\n" not in str(value):
        return text_of(value)
    dumped: str = yaml.dump(_plain(value), Dumper=_Dumper, default_flow_style=False, width=1 << 20, allow_unicode=True)
    return dumped.strip().removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in mapping(value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in items(value)]
    return HOLE if isinstance(value, Unknown) else value
