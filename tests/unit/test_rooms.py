"""The rooms of `ci/`: imports go one way, and only two of them know the engine. Read from the import graph."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[2]

#: A room may import those in the lines above its own, and itself. Rooms of one line do not know each other.
ORDER = (
    ("common",),
    ("load",),
    ("resolve",),
    ("plan",),
    ("inspect",),
    ("verify",),
    ("report",),
    ("boot", "compare", "node", "publish", "upkeep", "workloads"),
    ("steps",),
    ("execute",),
    ("face",),
)
RANK = {room: number for number, rooms in enumerate(ORDER) for room in rooms}

#: The module's face: its functions, their arguments, and how a method becomes a function.
FACE = {"ci.api", "ci.args", "ci.main"}
#: Its functions by subject.
FUNCTIONS = "functions"
WITH_ENGINE = {"execute", "face"}


def modules() -> dict[str, Path]:
    paths = (TOP / "ci").rglob("*.py")
    return {".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules()


def room(module: str) -> str:
    if module in FACE or module.split(".")[1:2] == [FUNCTIONS]:
        return "face"
    return module.split(".")[1] if "." in module else "common"


@cache
def statements(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """All import statements of a source; most tests here read the same sources."""
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom))


def imports(source: str, known: set[str]) -> Iterator[str]:
    """Every module that a source names in an import, those that only the type checker reads included."""
    for node in statements(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            if node.level or not node.module:
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def arrows(sources: dict[str, str]) -> list[str]:
    """The imports that go the wrong way, each as `from -> to`."""
    wrong: list[str] = []
    known = set(sources)
    for module, source in sources.items():
        for imported in imports(source, known):
            if imported.split(".")[0] == "embedded":
                wrong.append(f"{module} -> {imported}")
            if imported.split(".")[0] == "dagger" and room(module) not in WITH_ENGINE:
                wrong.append(f"{module} -> {imported}")
            if imported.split(".")[0] != "ci" or room(imported) == room(module):
                continue
            if RANK[room(imported)] >= RANK[room(module)]:
                wrong.append(f"{module} -> {imported}")
    return wrong


def circles(sources: dict[str, str]) -> list[str]:
    """The circles of imports at run time between modules, each as `a -> b -> a`."""
    graph = {
        module: sorted({name for name in imports(run_time(source), set(sources)) if name in sources and name != module})
        for module, source in sources.items()
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" -> ".join((*path[path.index(module) :], module)))
        elif module not in done:
            for after in graph[module]:
                visit(after, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())
    return found


def run_time(source: str) -> str:
    """A source without what only the type checker reads."""
    tree = ast.parse(source)
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return ast.unparse(tree)


SOURCES = {module: path.read_text() for module, path in MODULES.items()}


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in MODULES} == set(RANK)
    assert {module for module in MODULES if module.count(".") == 1 and MODULES[module].name != "__init__.py"} == FACE


def test_imports_go_one_way() -> None:
    assert arrows(SOURCES) == []


def test_no_modules_import_each_other() -> None:
    assert circles(SOURCES) == []


@pytest.mark.parametrize(
    ("module", "source", "arrow"),
    [
        ("ci.plan.make", "from ci.verify.model import Check", "ci.plan.make -> ci.verify.model"),
        ("ci.node.tailscale", "import ci.boot.model", "ci.node.tailscale -> ci.boot.model"),
        ("ci.report.tables", "from ci import main", "ci.report.tables -> ci.main"),
        ("ci.load.variant", "from dagger import dag", "ci.load.variant -> dagger"),
        ("ci.load.variant", "if TYPE_CHECKING:\n    import dagger", "ci.load.variant -> dagger"),
        ("ci.execute.load", "from embedded import cli", "ci.execute.load -> embedded"),
    ],
)
def test_an_import_against_the_order_is_named(module: str, source: str, arrow: str) -> None:
    assert arrows({**SOURCES, module: source}) == [arrow]


def test_a_circle_is_named() -> None:
    sources = {"ci.plan.a": "from ci.plan import b", "ci.plan.b": "def f():\n    import ci.plan.a"}
    assert circles(sources) == ["ci.plan.a -> ci.plan.b -> ci.plan.a"]


def test_the_embedded_engine_imports_nothing_of_the_product() -> None:
    wrong = [
        f"{path.relative_to(TOP)} -> {name}"
        for path in (TOP / "embedded").rglob("*.py")
        for name in imports(path.read_text(), set(MODULES))
        if name.split(".")[0] == "ci"
    ]
    assert wrong == []
