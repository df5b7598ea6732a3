"""The import graph of `embedded/`: no circles, imports in functions and for types included."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
Graph = dict[str, set[str]]


def modules(top: Path) -> dict[str, Path]:
    """Each module's dotted name → its file; tests and the Go programs aside."""
    found: dict[str, Path] = {}
    for path in sorted((top / "embedded").rglob("*.py")):
        parts = path.relative_to(top).with_suffix("").parts
        if "tests" not in parts:
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(text: str, known: Mapping[str, Path]) -> Iterator[str]:
    """Name the modules that a text imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [full if (full := f"{node.module}.{alias.name}") in known else node.module for alias in node.names]
        else:
            continue
        yield from (name for name in names if name in known)


def graph(top: Path) -> Graph:
    known = modules(top)
    return {name: set(imported(path.read_text(), known)) - {name} for name, path in known.items()}


def circle(edges: Graph) -> list[str]:
    """Return the modules of a circle in order, the first one again at the end; empty when there is none."""
    done: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for below in sorted(edges.get(name, ())):
            if found := search(below, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := search(name, []))), [])


def test_no_imports_go_in_a_circle() -> None:
    edges = graph(TOP)
    assert len(edges) > 100
    assert " -> ".join(circle(edges)) == ""


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set[str]()}, []),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
    ],
)
def test_a_circle_is_named(edges: Graph, found: list[str]) -> None:
    assert circle(edges) == found


def test_imports_in_functions_and_for_types_count(tmp_path: Path) -> None:
    folder = tmp_path / "embedded"
    (folder / "tests").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text("def f():\n    from embedded import two\n")
    (folder / "two.py").write_text("if TYPE_CHECKING:\n    from embedded.one import f\n")
    (folder / "tests/three.py").write_text("import embedded.one\n")
    assert circle(graph(tmp_path)) == ["embedded.one", "embedded.two", "embedded.one"]


def test_setup_imports_nothing_above_it() -> None:
    """It runs on the machine's own Python, before there is an environment."""
    above = {
        f"{name} -> {below}"
        for name, belows in graph(TOP).items()
        for below in belows
        if name.startswith("embedded.setup") and below.startswith(("embedded.cli", "embedded.engine", "embedded.lab"))
    }
    assert above == set()


def test_the_engine_does_not_import_the_command_line() -> None:
    above = {
        f"{name} -> {below}"
        for name, belows in graph(TOP).items()
        for below in belows
        if name.startswith("embedded.engine") and below.startswith("embedded.cli")
    }
    assert above == set()
