"""Where two texts differ: the key of a JSON document, or the line."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any, cast

from ci.compare.parts import hexadecimal

_ABSENT: Any = object()


def as_text(data: bytes) -> str | None:
    """Return the text that bytes are, `None` where they are none."""
    try:
        found = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(ord(one) < 32 and one not in "\t\r\n" for one in found.rstrip("\0")) else found


def text_difference(one: str, other: str) -> tuple[str, str, str]:
    """Return where two texts that are not equal differ, and the two values there."""
    try:
        documents = json.loads(one), json.loads(other)
    except (ValueError, RecursionError):
        documents = None
    if documents is not None and (found := _value_difference("", *documents)) is not None:
        return found
    lines = zip_longest(one.splitlines(keepends=True), other.splitlines(keepends=True))
    number, left, right = next((n, a, b) for n, (a, b) in enumerate(lines, 1) if a != b)
    return f"line {number}", _show(left), _show(right)


def _show(line: str | None) -> str:
    return "nothing" if line is None else repr(line if len(line) <= 200 else f"{line[:200]}…")


def _value_difference(path: str, one: Any, other: Any) -> tuple[str, str, str] | None:
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        pairs = [
            (f"{path}.{key}".lstrip("."), left.get(key, _ABSENT), right.get(key, _ABSENT)) for key in {**left, **right}
        ]
    elif isinstance(one, list) and isinstance(other, list):
        items = zip_longest(cast("list[Any]", one), cast("list[Any]", other), fillvalue=_ABSENT)
        pairs = [(f"{path}[{number}]", a, b) for number, (a, b) in enumerate(items)]
    else:
        return (path or "document", _value(one), _value(other)) if one != other else None
    found = (_value_difference(where, a, b) for where, a, b in pairs)
    return next((difference for difference in found if difference is not None), None)


def _value(value: Any) -> str:
    return "nothing" if value is _ABSENT else _show(value) if isinstance(value, str) else json.dumps(value)[:200]


def bytes_difference(one: bytes, other: bytes, offset: int) -> tuple[str, str, str]:
    """Return the place of bytes that are of no kind known, and what they are: the first 16 of both."""
    return f"byte {offset}", hexadecimal(one) or "nothing", hexadecimal(other) or "nothing"
