"""Helm's templates to trees: text, actions, and what controls them, each with its line.

The grammar is that of Go's text/template (https://pkg.go.dev/text/template). What is not understood is a
`TemplateError` with the line; the caller then reads the file as plain text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_ACTION: Final = re.compile(
    r"\{\{(?P<left>-(?=\s))?(?P<inner>/\*.*?\*/\s*|(?:`[^`]*`|\"(?:\\.|[^\"\\])*\"|.)*?)(?P<right>(?<=\s)-|)\}\}",
    re.DOTALL,
)
_COMMENT: Final = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])+')
    |(?P<number>[+-]?[0-9][0-9a-zA-Z_.]*)
    |(?P<declare>:=|=)
    |(?P<variable>\$[A-Za-z0-9_]*)
    |(?P<field>\.[A-Za-z0-9_]+)
    |(?P<dot>\.)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<punctuation>[()|,])
    )""",
    re.VERBOSE,
)
#: Far above any real template; what is nested deeper is refused.
_DEEPEST: Final = 80


class TemplateError(Exception):
    """A template that can't be read; says the line."""


@dataclass(frozen=True)
class Constant:
    """A literal: text, number, true, false, nil."""

    value: str | float | int | bool | None


@dataclass(frozen=True)
class Operand:
    """A value and the fields taken of it: `.a.b`, `$x.a`, `(f x).a`; without a base it is the dot."""

    base: str | Pipeline
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function's name."""

    name: str


Term = Constant | Operand | Function


@dataclass(frozen=True)
class Pipeline:
    """Commands, each of which gets the result of the one before it; perhaps kept in variables."""

    commands: tuple[tuple[Term, ...], ...]
    variables: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class Text:
    """Text as it is."""

    text: str
    line: int


@dataclass(frozen=True)
class Branch:
    """One way through an `if` or `with` (`kind`); without a condition, the way that is left."""

    condition: Pipeline | None
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """`if`, `with`: the first branch whose condition holds."""

    kind: str
    branches: tuple[Branch, ...]
    line: int


@dataclass(frozen=True)
class Loop:
    """`range`."""

    over: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    line: int


@dataclass(frozen=True)
class Call:
    """`template`: a named template's text."""

    name: Term
    argument: Pipeline | None
    line: int


Node = Text | Pipeline | Choice | Loop | Call


@dataclass
class Template:
    """A file: its own nodes, and the named templates that it defines."""

    nodes: tuple[Node, ...] = ()
    defines: dict[str, tuple[Node, ...]] = field(default_factory=dict[str, tuple["Node", ...]])


def parse(text: str) -> Template:
    """Read a template; raises `TemplateError`."""
    return _Parser(text).template()


@dataclass(frozen=True)
class _Piece:
    #: Text, or an action's inside.
    content: str
    action: bool
    line: int


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    at, line, trim = 0, 1, False
    while True:
        start = text.find("{{", at)
        end_of_text = len(text) if start < 0 else start
        plain = text[at:end_of_text]
        match = None
        if start >= 0:
            match = _COMMENT.match(text, start) or _ACTION.match(text, start)
            if match is None:
                raise TemplateError(f"line {line + plain.count(chr(10))}: an action does not end")
        shown, shown_line = plain, line
        if trim:
            stripped = shown.lstrip()
            shown_line += shown[: len(shown) - len(stripped)].count("\n")
            shown = stripped
        whole = match.group() if match else ""
        if whole.startswith("{{-"):
            shown = shown.rstrip()
        if shown:
            pieces.append(_Piece(shown, False, shown_line))
        line += plain.count("\n")
        if match is None:
            return pieces
        trim = whole.endswith("-}}")
        inner = whole[2:-2].removeprefix("-").removesuffix("-").strip()
        if not inner.startswith("/*"):
            pieces.append(_Piece(inner, True, line))
        line += whole.count("\n")
        at = match.end()


class _Parser:
    def __init__(self, text: str) -> None:
        self.pieces = _pieces(text)
        self.at = 0
        self.found = Template()
        self.depth = 0

    def template(self) -> Template:
        nodes, end = self._nodes(())
        if end is not None:
            raise TemplateError(f"line {end.line}: {end.content!r} belongs to nothing")
        self.found.nodes = nodes
        return self.found

    def _nodes(self, ends: tuple[str, ...]) -> tuple[tuple[Node, ...], _Piece | None]:
        """Return the nodes before an action that ends them, and that action."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise TemplateError(f"nested deeper than {_DEEPEST}")
        nodes: list[Node] = []
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            self.at += 1
            if not piece.action:
                nodes.append(Text(piece.content, piece.line))
                continue
            word = re.match(r"[a-z]*", piece.content)
            keyword = word.group() if word else ""
            if keyword in ("end", "else"):
                self.depth -= 1
                return tuple(nodes), piece
            node = self._node(keyword, piece)
            if node is not None:
                nodes.append(node)
        self.depth -= 1
        if ends:
            raise TemplateError("the file ends inside a block")
        return tuple(nodes), None

    def _node(self, keyword: str, piece: _Piece) -> Node | None:
        rest = piece.content[len(keyword) :]
        if keyword in ("if", "with") and not rest[:1].isalnum():
            return self._choice(keyword, rest, piece.line)
        if keyword == "range" and not rest[:1].isalnum():
            body, end = self._nodes(("end",))
            otherwise: tuple[Node, ...] = ()
            if end is not None and end.content.startswith("else"):
                otherwise, end = self._nodes(("end",))
            return Loop(pipeline(rest, piece.line), body, otherwise, piece.line)
        if keyword in ("define", "block") and not rest[:1].isalnum():
            name, argument = _named(rest, piece.line)
            body, _ = self._nodes(("end",))
            if isinstance(name, Constant):
                self.found.defines[str(name.value)] = body
            return Call(name, argument, piece.line) if keyword == "block" else None
        if keyword == "template" and not rest[:1].isalnum():
            name, argument = _named(rest, piece.line)
            return Call(name, argument, piece.line)
        if keyword in ("break", "continue") and not rest.strip():
            return None
        return pipeline(piece.content, piece.line)

    def _choice(self, kind: str, condition: str, line: int) -> Choice:
        branches: list[Branch] = []
        current: Pipeline | None = pipeline(condition, line)
        while True:
            body, end = self._nodes(("end", "else"))
            branches.append(Branch(current, body))
            if end is None or not end.content.startswith("else"):
                return Choice(kind, tuple(branches), line)
            rest = end.content.removeprefix("else").strip()
            current = pipeline(re.sub(r"^(if|with)\b", "", rest), end.line) if rest else None


def _named(text: str, line: int) -> tuple[Term, Pipeline | None]:
    match = re.match(r"\s*(\"(?:\\.|[^\"\\])*\"|`[^`]*`|\S+)(.*)", text, re.DOTALL)
    if not match:
        raise TemplateError(f"line {line}: a name is missing")
    name = pipeline(match[1], line).commands[0][0]
    return name, pipeline(match[2], line) if match[2].strip() else None


def pipeline(text: str, line: int) -> Pipeline:
    """Read the inside of an action."""
    tokens = _tokens(text, line)
    variables: list[str] = []
    for position, (kind, _) in enumerate(tokens):
        if kind == "declare":
            variables = [word for name, word in tokens[:position] if name == "variable"]
            tokens = tokens[position + 1 :]
            break
    made, rest = _pipe(tokens, line)
    if rest:
        raise TemplateError(f"line {line}: {rest[0][1]!r} is not expected")
    return Pipeline(made.commands, tuple(variables), line)


_Tokens = list[tuple[str, str]]


def _tokens(text: str, line: int) -> _Tokens:
    found: _Tokens = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match or not match.lastgroup:
            raise TemplateError(f"line {line}: {text[at : at + 20].strip()!r} is not understood")
        kind = match.lastgroup
        spaced = match.start(kind) > at or at == 0
        found.append(("more" if kind == "field" and not spaced else kind, match[kind]))
        at = match.end()
    return found


def _pipe(tokens: _Tokens, line: int) -> tuple[Pipeline, _Tokens]:
    commands: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    while tokens:
        kind, word = tokens[0]
        if word == ")" and kind == "punctuation":
            break
        if word == "|" and kind == "punctuation":
            commands.append(tuple(terms))
            terms = []
            tokens = tokens[1:]
            continue
        term, tokens = _term(tokens, line)
        terms.append(term)
    commands.append(tuple(terms))
    return Pipeline(tuple(commands), (), line), tokens


def _term(tokens: _Tokens, line: int) -> tuple[Term, _Tokens]:
    (kind, word), rest = tokens[0], tokens[1:]
    base: str | Pipeline
    fields: list[str] = []
    if kind == "string":
        return Constant(_unquoted(word)), rest
    if kind == "number":
        return Constant(_number(word)), rest
    if kind == "word":
        constants = {"true": True, "false": False, "nil": None}
        return (Constant(constants[word]) if word in constants else Function(word)), rest
    if kind == "punctuation" and word == "(":
        base, rest = _pipe(rest, line)
        if not rest:
            raise TemplateError(f"line {line}: a parenthesis does not end")
        rest = rest[1:]
    elif kind == "variable":
        base = word
    elif kind in ("field", "more"):
        base, fields = "", [word[1:]]
    elif kind == "dot":
        base = ""
    else:
        raise TemplateError(f"line {line}: {word!r} is not expected")
    while rest and rest[0][0] == "more":
        fields.append(rest[0][1][1:])
        rest = rest[1:]
    return Operand(base, tuple(fields)), rest


def _unquoted(word: str) -> str:
    if word.startswith("`"):
        return word[1:-1]
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), word[1:-1])


def _number(word: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(word)
        except ValueError:
            continue
    return word
