"""The functions of Helm's templates that say which image is meant; all others give what is not known.

Helm's are Sprig's (https://masterminds.github.io/sprig/) and its own (https://helm.sh/docs/chart_template_guide/).
"""

from __future__ import annotations

import base64
import copy
import operator
import re
from typing import TYPE_CHECKING, Any, Final, cast

from ci.workloads.known import HOLE, UNKNOWN, Unknown, read_yaml, text_of, to_yaml
from ci.workloads.loose import items, mapping

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS: Final[dict[type[object], str]] = {
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    dict: "map",
    list: "slice",
}
#: Columns that a text is indented by at most.
_WIDEST: Final = 80


def printf(form: Any, *values: Any) -> str:
    """Return what `printf` prints; of the verbs, those for text and whole numbers are known."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if not left:
            return HOLE
        value = left.pop(0)
        text = text_of(value)
        return f'"{text}"' if match[0].endswith("q") else text

    return re.sub(r"%%|%[-+# 0-9.]*[a-zA-Z]", one, text_of(form))


def merge(target: Any, *sources: Any, override: bool = False) -> Any:
    """Merge mappings into the first one and return it; without `override` what is set there stays."""
    if not isinstance(target, dict):
        return UNKNOWN
    kept = mapping(target)
    for source in sources:
        for key, value in mapping(source).items():
            if isinstance(kept.get(key), dict) and isinstance(value, dict):
                merge(kept[key], value, override=override)
            elif override or not kept.get(key):  # what is empty counts as not set
                kept[key] = value
    return kept


def _merge_over(*values: Any) -> Any:
    return merge(*values, override=True)


def _default(*given: Any) -> Any:
    fallback, value = given[0], given[1] if len(given) > 1 else None
    # What is not known has most likely not been set: whoever sets it names another image.
    return value if value and not isinstance(value, Unknown) else fallback


def _first_set(*values: Any) -> Any:
    return next((value for value in values if value and not isinstance(value, Unknown)), values[-1] if values else None)


def _all(*values: Any) -> Any:
    return next((value for value in values if not value), values[-1] if values else None)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if not isinstance(value, dict | list):
            return UNKNOWN
        try:
            value = items(value)[key] if isinstance(value, list) else mapping(value)[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _dig(*given: Any) -> Any:
    *keys, fallback, value = given
    for key in keys:
        if key not in mapping(value):
            return fallback
        value = mapping(value)[key]
    return value


def _get(value: Any, key: Any) -> Any:
    return mapping(value).get(key, "") if isinstance(value, dict) else UNKNOWN


def _set(value: Any, key: Any, new: Any) -> Any:
    if isinstance(value, dict):
        mapping(value)[key] = new
        return mapping(value)
    return UNKNOWN


def _unset(value: Any, key: Any) -> Any:
    mapping(value).pop(key, None)
    return value


def _has_key(value: Any, key: Any) -> Any:
    return key in mapping(value) if isinstance(value, dict) else UNKNOWN


def _has(item: Any, found: Any) -> Any:
    return item in items(found) if isinstance(found, list) else UNKNOWN


def _dict(*given: Any) -> dict[str, Any]:
    return {text_of(key): value for key, value in zip(given[::2], given[1::2], strict=False)}


def _equal(one: Any, *others: Any) -> Any:
    if isinstance(one, Unknown) or any(isinstance(other, Unknown) for other in others):
        return UNKNOWN
    return any(one == other for other in others)


def _not(value: Any) -> Any:
    return cast("Any", value) if isinstance(value, Unknown) else not value


def _unequal(one: Any, other: Any) -> Any:
    return _not(_equal(one, other))


def _ordered(holds: Callable[[float, float], bool]) -> Callable[[Any, Any], Any]:
    """Return a function that compares two numbers; of anything else nothing is known."""

    def call(one: Any, other: Any) -> Any:
        return holds(one, other) if isinstance(one, int | float) and isinstance(other, int | float) else UNKNOWN

    return call


def _ternary(yes: Any, no: Any, test: Any) -> Any:
    return UNKNOWN if isinstance(test, Unknown) else yes if test else no


def _texts(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of texts; of what is not known it gives what is not known."""

    def call(*values: Any) -> Any:
        if any(isinstance(value, Unknown) for value in values):
            return UNKNOWN
        try:
            return make(*map(text_of, values))
        except (re.error, RecursionError):
            return UNKNOWN

    return call


def _one(make: Callable[[str], Any]) -> Callable[..., Any]:
    return _texts(make)


def _two(make: Callable[[str, str], Any]) -> Callable[..., Any]:
    return _texts(make)


def _of_list(take: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Return a function of a list that has something in it."""

    def call(found: Any) -> Any:
        return take(items(found)) if items(found) else UNKNOWN

    return call


def _joined(separator: Any, found: Any) -> Any:
    return text_of(separator).join(map(text_of, items(found))) if isinstance(found, list) else UNKNOWN


def _quoted(mark: str) -> Callable[..., str]:
    return lambda *values: " ".join(f"{mark}{text_of(value)}{mark}" for value in values)


def _printed(*values: Any) -> str:
    return "".join(map(text_of, values))


def _truncated(count: Any, text: Any) -> Any:
    return text_of(text)[:count] if isinstance(count, int) else UNKNOWN


def _replaced(pattern: str, text: str, new: str) -> str:
    return re.sub(pattern, re.sub(r"\$\{?(\d+)\}?", r"\\\1", new), text)


def _exchanged(old: str, new: str, text: str) -> str:
    return text.replace(old, new)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group() if match else ""


def _indent(count: Any, text: Any) -> str:
    pad = " " * (count if isinstance(count, int) and 0 <= count < _WIDEST else 0)
    return "\n".join(pad + line for line in text_of(text).splitlines())


def _new_indent(count: Any, text: Any) -> str:
    return "\n" + _indent(count, text)


def _number(value: Any) -> Any:
    try:
        return int(text_of(value))
    except ValueError:
        return UNKNOWN if HOLE in text_of(value) else 0


def _sum(*values: Any) -> Any:
    numbers = [_number(value) for value in values]
    return UNKNOWN if any(isinstance(number, Unknown) for number in numbers) else sum(numbers)


def _length(value: Any) -> Any:
    return len(cast("str", value)) if isinstance(value, dict | list | str) else UNKNOWN


def _decoded(text: str) -> Any:
    try:
        return base64.b64decode(text).decode()
    except ValueError:
        return UNKNOWN


def _kind(value: Any) -> Any:
    return UNKNOWN if isinstance(value, Unknown) else _KINDS.get(type(cast("object", value)), "invalid")


def _is_kind(kind: Any, value: Any) -> Any:
    return _equal(_kind(value), kind)


def _list(*values: Any) -> list[Any]:
    return list(values)


def _keys(*values: Any) -> list[Any]:
    return [key for value in values for key in mapping(value)]


def _values(value: Any) -> list[Any]:
    return list(mapping(value).values())


def _appended(found: Any, item: Any) -> list[Any]:
    return [*items(found), item]


def _prepended(found: Any, item: Any) -> list[Any]:
    return [item, *items(found)]


def _compact(found: Any) -> list[Any]:
    return [item for item in items(found) if item or isinstance(item, Unknown)]


def _concat(*lists: Any) -> list[Any]:
    return [item for found in lists for item in items(found)]


def _nothing(*_: Any) -> Any:
    return ""


def _no_cluster(*_: Any) -> dict[str, Any]:
    return {}


def _last(*values: Any) -> Any:
    return values[-1]


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "and": _all,
    "or": _first_set,
    "not": _not,
    "eq": _equal,
    "ne": _unequal,
    "gt": _ordered(operator.gt),
    "ge": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "le": _ordered(operator.le),
    "default": _default,
    "coalesce": _first_set,
    "ternary": _ternary,
    "empty": _not,
    "quote": _quoted('"'),
    "squote": _quoted("'"),
    "print": _printed,
    "printf": printf,
    "toString": _one(str),
    "trim": _one(str.strip),
    "trimAll": _two(lambda what, text: text.strip(what)),
    "trimPrefix": _two(lambda what, text: text.removeprefix(what)),
    "trimSuffix": _two(lambda what, text: text.removesuffix(what)),
    "lower": _one(str.lower),
    "upper": _one(str.upper),
    "replace": _texts(_exchanged),
    "trunc": _truncated,
    "nospace": _one(lambda text: re.sub(r"\s", "", text)),
    "contains": _two(lambda what, text: what in text),
    "hasPrefix": _two(lambda what, text: text.startswith(what)),
    "hasSuffix": _two(lambda what, text: text.endswith(what)),
    "splitList": _two(lambda separator, text: text.split(separator)),
    "split": _two(lambda separator, text: {f"_{at}": part for at, part in enumerate(text.split(separator))}),
    "join": _joined,
    "first": _of_list(lambda found: found[0]),
    "last": _of_list(lambda found: found[-1]),
    "rest": _of_list(lambda found: found[1:]),
    "initial": _of_list(lambda found: found[:-1]),
    "sortAlpha": _of_list(lambda found: sorted(map(text_of, found))),
    "uniq": _of_list(list),
    "compact": _compact,
    "regexMatch": _two(lambda pattern, text: re.search(pattern, text) is not None),
    "regexReplaceAll": _texts(_replaced),
    "regexFind": _two(_found),
    "indent": _indent,
    "nindent": _new_indent,
    "toYaml": to_yaml,
    "toJson": to_yaml,
    "fromYaml": _one(read_yaml),
    "fromJson": _one(read_yaml),
    "tuple": _list,
    "list": _list,
    "dict": _dict,
    "get": _get,
    "set": _set,
    "unset": _unset,
    "hasKey": _has_key,
    "has": _has,
    "keys": _keys,
    "values": _values,
    "append": _appended,
    "prepend": _prepended,
    "concat": _concat,
    "dig": _dig,
    "index": _index,
    "merge": merge,
    "mustMerge": merge,
    "mergeOverwrite": _merge_over,
    "mustMergeOverwrite": _merge_over,
    "deepCopy": copy.deepcopy,
    "required": _last,
    "lookup": _no_cluster,
    "int": _number,
    "int64": _number,
    "add": _sum,
    "len": _length,
    "kindIs": _is_kind,
    "kindOf": _kind,
    "typeIs": _is_kind,
    "b64dec": _one(_decoded),
    "fail": _nothing,
}
