"""How results reach standard output, and what is said beside them on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.cli.model import Model, TypeView


def say(text: str) -> None:
    """Print a line for the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_result(answer: Any, *, as_json: bool) -> str:
    """Print a result without objects and return what was printed.

    Plain: a scalar as it is, without a line break unless standard output is a terminal; a list one element a line.
    JSON: indented by four, keys sorted.
    """
    text = f"{json.dumps(answer, indent=4, ensure_ascii=False, sort_keys=True)}\n" if as_json else _plain(answer)
    sys.stdout.write(text)
    if sys.stdout.isatty() and not text.endswith("\n"):
        sys.stdout.write("\n")
    sys.stdout.flush()
    return text


def save_result(path: Path, text: str) -> None:
    """Write a printed result to a file, its folder made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    say(f'Saved output to "{path.absolute()}".')


def print_objects(model: Model, view: TypeView, answer: Any, *, as_json: bool) -> None:
    """Print one line for each object at the end of a chain, saying how to get something out of it.

    Dagger prints an opaque id there.
    """
    line = _object_line(model, view.object_name)
    if view.element is None:
        return _print_line({"_type": view.name}, line, as_json=as_json)
    count = len(cast("list[Any]", answer))
    if as_json:
        print_result([{"_type": view.object_name}] * count, as_json=True)
    else:
        print(f"- {line}\n" * count, end="", flush=True)
    return None


def _print_line(value: dict[str, str], line: str, *, as_json: bool) -> None:
    if as_json:
        print_result(value, as_json=True)
    else:
        print(line, flush=True)


def _object_line(model: Model, name: str) -> str:
    if model.is_module_type(name):
        commands = ", ".join(function.command for function in model.functions(name))
        return f"{name} (has {commands})"
    return f"{name} (write it with -o PATH)" if model.field(name, "export") else name


def _plain(answer: Any) -> str:
    if isinstance(answer, list):
        return "".join(f"{_plain(item)}\n" for item in cast("list[Any]", answer))
    if isinstance(answer, dict):
        return "".join(_plain(item) for item in cast("dict[str, Any]", answer).values())
    if isinstance(answer, bool):
        return "true" if answer else "false"
    return "" if answer is None else str(answer)
