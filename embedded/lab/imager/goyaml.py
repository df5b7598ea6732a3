"""YAML as the Talos imager reads and writes it: its error texts, its indentation, its quotes.

Reading goes through nodes, so that errors can name lines; writing follows the two layouts that the imager uses
(indent 2 for the profile, indent 4 for `extensions.yaml`).
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .errors import ImagerError

_BOOLEANS_OF_YAML_1_1 = frozenset({"y", "n", "yes", "no", "on", "off"})
# What PyYAML says and what libyaml's children say about the same mistake.
_PROBLEMS = {"mapping values are not allowed here": "mapping values are not allowed in this context"}


def compose(text: str, *, v4: bool) -> Node:
    """Parses the first document of a YAML text into nodes.

    Raises ImagerError `EOF` for an empty one, `yaml: line N, column M: …` (v4) or `yaml: line N: …` (v3)
    for bad syntax.
    """
    try:
        node = next(yaml.compose_all(text, Loader=yaml.SafeLoader), None)  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = _PROBLEMS.get(error.problem or "", error.problem or "")
        if mark is None:
            raise ImagerError(f"yaml: {problem}") from None
        where = f"line {mark.line + 1}, column {mark.column + 1}" if v4 else f"line {mark.line + 1}"
        raise ImagerError(f"yaml: {where}: {problem}") from None
    except yaml.YAMLError as error:
        raise ImagerError(f"yaml: {error}") from None
    if node is None:
        raise ImagerError("EOF")
    return node


class Problems:
    """Collects what does not fit while nodes are turned into values, and words it as one error."""

    def __init__(self, *, v4: bool) -> None:
        self._v4 = v4
        self._lines: list[str] = []
        self._enum: str | None = None

    def bad_type(self, node: Node, wanted: str) -> None:
        """Notes a node of the wrong type; `wanted` is the Go type's name."""
        shown = f" `{node.value}`" if isinstance(node, ScalarNode) else ""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        verb = "construct" if self._v4 else "unmarshal"
        self._lines.append(f"  line {node.start_mark.line + 1}: cannot {verb} {tag}{shown} into {wanted}")

    def bad_enum(self, node: ScalarNode, wanted: str) -> None:
        """Notes a word that is none of an enumeration's."""
        text = f"{node.value} does not belong to {wanted} values"
        self._enum = self._enum or text
        self._lines.append(f"  line {node.start_mark.line + 1}: {text}")

    def raise_if_any(self) -> None:
        """Raises ImagerError when something was noted; v3 says nothing but the first bad word."""
        if self._enum is not None and not self._v4:
            raise ImagerError(self._enum)
        if self._lines:
            raise ImagerError(f"yaml: {'construct' if self._v4 else 'unmarshal'} errors:\n" + "\n".join(self._lines))


def items(node: Node, wanted: str, problems: Problems) -> dict[str, Node]:
    """Returns a mapping's values by key, the last one of a repeated key; none for null."""
    if isinstance(node, MappingNode):
        return {key.value: value for key, value in node.value if isinstance(key, ScalarNode)}
    if not is_null(node):
        problems.bad_type(node, wanted)
    return {}


def elements(node: Node, wanted: str, problems: Problems) -> list[Node]:
    """Returns a sequence's nodes; none for null."""
    if isinstance(node, SequenceNode):
        return list(node.value)
    if not is_null(node):
        problems.bad_type(node, wanted)
    return []


def text(node: Node, problems: Problems) -> str:
    """Returns a scalar's text, whatever scalar it is."""
    if isinstance(node, ScalarNode):
        return "" if is_null(node) else node.value
    problems.bad_type(node, "string")
    return ""


def boolean(node: Node, problems: Problems) -> bool:
    """Returns a `true` or `false`."""
    if isinstance(node, ScalarNode) and node.value.lower() in {"true", "false"}:
        return node.value.lower() == "true"
    if not is_null(node):
        problems.bad_type(node, "bool")
    return False


def integer(node: Node, wanted: str, problems: Problems) -> int:
    """Returns an integer, decimal or with a 0x, 0o or 0b prefix."""
    if isinstance(node, ScalarNode):
        try:
            return int(node.value, 0)
        except ValueError:
            pass
    if not is_null(node):
        problems.bad_type(node, wanted)
    return 0


def mapping(node: Node) -> dict[str, Any] | None:
    """Returns a mapping's plain values with all keys in order, nothing for null, None for what is no mapping."""
    if is_null(node):
        return {}
    return _plain(node) if isinstance(node, MappingNode) else None


def _plain(node: Node) -> Any:
    if isinstance(node, MappingNode):
        pairs = ((str(key.value), _plain(item)) for key, item in node.value if isinstance(key, ScalarNode))
        return dict(sorted(pairs))
    if isinstance(node, SequenceNode):
        return [_plain(item) for item in node.value]
    return yaml.SafeLoader("").construct_object(node)  # type: ignore[no-untyped-call]


def is_null(node: Node) -> bool:
    """Tells whether a node is null."""
    return node.tag == "tag:yaml.org,2002:null"


class _Dumper(yaml.SafeDumper):
    """Emits mappings and sequences with the indentation that the Go encoder has."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        # A mapping in a sequence starts behind its "- ", everything else at the next multiple of the indent.
        self.indents.append(self.indent)
        if self.indent is None:
            self.indent = self.best_indent if flow else 0
        elif self.states[-1] == self.expect_block_sequence_item:
            self.indent += 2
        else:
            self.indent = self.best_indent * ((self.indent + self.best_indent) // self.best_indent)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: _Dumper, value: str) -> ScalarNode:
    # PyYAML's stubs leave these two partly without types.
    untyped: Any = dumper
    if "\n" in value:
        style = "|"
    elif value.lower() in _BOOLEANS_OF_YAML_1_1 or untyped.resolve(ScalarNode, value, (True, False)) != _STRING_TAG:
        style = '"'
    else:
        style = None
    return untyped.represent_scalar(_STRING_TAG, value, style=style)


_STRING_TAG = "tag:yaml.org,2002:str"
_Dumper.add_representer(str, _represent_text)


def dump(value: object, *, indent: int) -> str:
    """Writes dicts, lists, strings, numbers, booleans and None in block style, keys in their order."""
    return yaml.dump(
        value,
        Dumper=_Dumper,
        indent=indent,
        width=1 << 20,
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
    )
