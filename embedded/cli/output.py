"""How results reach standard output, and what is said beside them on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, cast

from embedded.engine.errors import EngineError
from embedded.shown import shown, shown_lines

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.cli.model import Model, TypeView


def say(text: str) -> None:
    """Print lines for the person, on standard error; nothing in them is obeyed by the terminal.

    On a terminal long lines are broken between words; elsewhere they stay whole, to be searched.
    """
    lines = shown_lines(text)
    with contextlib.suppress(OSError):  # nobody is there to hear that nobody hears it
        if sys.stderr.isatty():
            lines = wrapped(lines, shutil.get_terminal_size().columns)
        print(lines, file=sys.stderr, flush=True)


def wrapped(text: str, width: int) -> str:
    """Return a text whose lines are broken between words; a word that is longer than a line stays whole."""
    return "\n".join(line if len(line) <= width else _broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.strip(), width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def write_out(text: str) -> None:
    """Write to standard output; raises EngineError where it takes nothing, a full disk say."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = io.StringIO()  # what is left in the old one's buffer would fail at each further attempt
        raise EngineError(f"can't write to standard output: {error.strerror}") from None


def print_result(answer: Any, *, as_json: bool) -> str:
    """Print a result without objects and return what was printed.

    Plain: a scalar as it is, without a line break unless standard output is a terminal; a list one element a line.
    JSON: indented by four, keys sorted.
    """
    text = f"{json.dumps(answer, indent=4, ensure_ascii=False, sort_keys=True)}\n" if as_json else _plain(answer)
    write_out(f"{text}\n" if sys.stdout.isatty() and not text.endswith("\n") else text)
    return text


def save_result(path: Path, text: str) -> None:
    """Write a printed result to a file, its folder made where missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise EngineError(f"can't write to {path}: {error.strerror}") from None
    say(f'Saved output to "{shown(str(path.absolute()))}".')


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
        write_out(f"- {line}\n" * count)
    return None


def _print_line(value: dict[str, str], line: str, *, as_json: bool) -> None:
    if as_json:
        print_result(value, as_json=True)
    else:
        write_out(f"{line}\n")


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
