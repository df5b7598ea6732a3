"""What a chart's templates give with its own values, as far as the checkout says; each line with where it is from.

This is the second source next to `helm template`: where a condition can't be known, every way is followed, and a text
that can't be known has a hole (`known.HOLE`) in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from ci.workloads.functions import FUNCTIONS
from ci.workloads.gotemplate import (
    Call,
    Choice,
    Constant,
    Function,
    Loop,
    Operand,
    Pipeline,
    TemplateError,
    Text,
    parse,
)
from ci.workloads.known import UNKNOWN, Unknown, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci.workloads.gotemplate import Node, Term

#: Where charts are thought to be installed: applications refuse what is no tenant's.
NAMESPACE: Final = "tenant-root"
#: Steps of one file, named templates that call each other, and rounds of a loop: far above any real template.
_STEPS: Final = 100_000
_DEEPEST: Final = 30
_ROUNDS: Final = 64


@dataclass(frozen=True)
class Line:
    """A line of what a template gives, and the template's line that its end is from."""

    text: str
    line: int


@dataclass
class _Scope:
    dot: Any
    variables: dict[str, Any]

    def inner(self, dot: Any) -> _Scope:
        return _Scope(dot, self.variables)


@dataclass
class Interpreter:
    """One chart's templates: its values, its files, and all named templates of the release."""

    values: dict[str, Any]
    chart: Mapping[str, Any]
    release: str
    files: Mapping[str, str]
    defines: Mapping[str, tuple[Node, ...]]
    _steps: int = 0
    _depth: int = 0
    _out: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def lines(self, nodes: Iterable[Node]) -> list[Line]:
        """Return what a template's nodes give, line by line; raises `TemplateError` for one that has no end."""
        self._steps = 0
        self._out = []
        root = self._root()
        self._walk(nodes, _Scope(root, {"$": root}))
        return joined(self._out)

    def _root(self) -> dict[str, Any]:
        return {
            "Values": self.values,
            "Chart": dict(self.chart),
            "Release": {
                "Name": self.release,
                "Namespace": NAMESPACE,
                "Service": "Helm",
                "IsInstall": True,
                "IsUpgrade": False,
            },
            "Files": self.files,
            "Template": {"BasePath": "templates", "Name": "template"},
            "Capabilities": UNKNOWN,
        }

    def _walk(self, nodes: Iterable[Node], scope: _Scope) -> None:
        for node in nodes:
            self._steps += 1
            if self._steps > _STEPS:
                raise TemplateError(f"more than {_STEPS} steps")
            match node:
                case Text():
                    self._out.append((node.text, node.line, 1))
                case Pipeline():
                    value = self._pipeline(node, scope)
                    if not node.variables:
                        self._out.append((text_of(value), node.line, 0))
                case Choice():
                    self._choose(node, scope)
                case Loop():
                    self._loop(node, scope)
                case Call():
                    argument = self._pipeline(node.argument, scope) if node.argument else None
                    self._out.append((text_of(self._include(self._term(node.name, scope), argument)), node.line, 0))

    def _choose(self, choice: Choice, scope: _Scope) -> None:
        for branch in choice.branches:
            value = self._pipeline(branch.condition, scope) if branch.condition else True
            dot = value if choice.kind == "with" and branch.condition else scope.dot
            if isinstance(value, Unknown):
                self._walk(branch.body, scope.inner(dot))
            elif value:
                self._walk(branch.body, scope.inner(dot))
                return

    def _loop(self, loop: Loop, scope: _Scope) -> None:
        over = self._pipeline(Pipeline(loop.over.commands, (), loop.line), scope)
        pairs: list[tuple[Any, Any]]
        if isinstance(over, dict):
            pairs = sorted(cast("dict[Any, Any]", over).items(), key=lambda pair: str(pair[0]))
        elif isinstance(over, list):
            pairs = list(enumerate(cast("list[Any]", over)))
        else:
            pairs = [(UNKNOWN, UNKNOWN)] if isinstance(over, Unknown) else []
        if not pairs:
            self._walk(loop.otherwise, scope)
        names = loop.over.variables
        for key, value in pairs[:_ROUNDS]:
            scope.variables.update(zip(names, (key, value) if len(names) > 1 else (value,), strict=False))
            self._walk(loop.body, scope.inner(value))

    def _pipeline(self, found: Pipeline, scope: _Scope) -> Any:
        value: Any = None
        for number, command in enumerate(found.commands):
            value = self._command(command, scope, [value] if number else [])
        for name in found.variables:
            scope.variables[name] = value
        return value

    def _command(self, terms: tuple[Term, ...], scope: _Scope, piped: list[Any]) -> Any:
        if not terms:
            return piped[0] if piped else None
        head, *rest = terms
        if isinstance(head, Function):
            return self._call(head.name, [*(self._term(term, scope) for term in rest), *piped])
        if isinstance(head, Operand) and (rest or piped) and head.fields:
            return self._method(head, [self._term(term, scope) for term in rest] + piped, scope)
        return self._term(head, scope)

    def _method(self, head: Operand, arguments: list[Any], scope: _Scope) -> Any:
        """Return what a method of Helm's objects gives: `.Files.Get`."""
        if head.fields[-2:] == ("Files", "Get") and arguments:
            found = self.files.get(text_of(arguments[0]))
            return "" if found is None else found
        del scope
        return UNKNOWN

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name in ("include", "tpl"):
            if len(arguments) < 2:
                return UNKNOWN
            return self._include(*arguments[:2]) if name == "include" else self._tpl(*arguments[:2])
        function = FUNCTIONS.get(name)
        if function is None:
            return UNKNOWN
        try:
            return function(*arguments)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            return UNKNOWN

    def _include(self, name: Any, dot: Any) -> Any:
        body = self.defines.get(text_of(name))
        return UNKNOWN if body is None else self._aside(body, dot)

    def _tpl(self, text: Any, dot: Any) -> Any:
        if isinstance(text, Unknown):
            return UNKNOWN
        return self._aside(parse(text_of(text)).nodes, dot) if "{{" in text_of(text) else text

    def _aside(self, body: Iterable[Node], dot: Any) -> Any:
        if self._depth >= _DEEPEST:
            return UNKNOWN
        outer, self._out = self._out, []
        self._depth += 1
        try:
            self._walk(body, _Scope(dot, {"$": dot}))
            return "".join(text for text, _, _ in self._out)
        finally:
            self._out = outer
            self._depth -= 1

    def _term(self, term: Term, scope: _Scope) -> Any:
        if isinstance(term, Constant):
            return term.value
        if isinstance(term, Function):
            return self._call(term.name, [])
        if isinstance(term.base, Pipeline):
            value = self._pipeline(term.base, scope)
        else:
            value = scope.dot if not term.base else scope.variables.get(term.base, UNKNOWN)
        for name in term.fields:
            if isinstance(value, dict):
                value = cast("dict[str, Any]", value).get(name)
            elif value is not None:
                return UNKNOWN
        return value


def joined(pieces: Iterable[tuple[str, int, int]]) -> list[Line]:
    """Return pieces of text as lines; a line is from where its last piece that is not blank is from.

    A piece is a text, the line that it begins at, and by how much its own lines go on: 0 for what an action gives.
    """
    lines: list[Line] = []
    current, source = "", 0
    for text, line, step in pieces:
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append(Line(current, source or line))
                current, source = "", 0
            if part.strip():
                source = line + number * step
            current += part
    lines.append(Line(current, source))
    return lines


def plain_lines(text: str) -> list[Line]:
    """Return a text's own lines."""
    return [Line(part, number) for number, part in enumerate(text.split("\n"), 1)]
