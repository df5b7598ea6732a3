"""YAML as the Talos imager writes it: its indentation, its quotes; and the reading of profiles and manifests.

Reading goes through nodes, so that errors can name lines; writing follows the two layouts that the imager uses
(indent 2 for the profile, indent 4 for `extensions.yaml`).
"""

from __future__ import annotations

from typing import Any, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .errors import ImagerError

_BOOLEANS_OF_YAML_1_1 = frozenset({"y", "n", "yes", "no", "on", "off"})


_KINDS: dict[type[Node], str] = {MappingNode: "a mapping", SequenceNode: "a sequence"}


def compose(text: str) -> Node:
    """Parses the first document of a YAML text into nodes.

    Raises ImagerError for an empty one and for bad syntax.
    """
    try:
        node = next(yaml.compose_all(text, Loader=yaml.SafeLoader), None)  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ImagerError(f"not valid YAML{where}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ImagerError(f"not valid YAML: {' '.join(str(error).split())}") from None
    if node is None:
        raise ImagerError("not valid YAML: the document is empty")
    return node


def refuse(node: Node, wanted: str) -> NoReturn:
    """Raises ImagerError for a node that is something else than what is wanted."""
    shown = repr(node.value) if isinstance(node, ScalarNode) else _KINDS.get(type(node), "something else")
    raise ImagerError(f"line {node.start_mark.line + 1}: {shown} where {wanted} is wanted")


def items(node: Node) -> dict[str, Node]:
    """Returns a mapping's values by key, the last one of a repeated key; none for null."""
    if isinstance(node, MappingNode):
        return {key.value: value for key, value in node.value if isinstance(key, ScalarNode)}
    return {} if is_null(node) else refuse(node, "a mapping")


def elements(node: Node) -> list[Node]:
    """Returns a sequence's nodes; none for null."""
    if isinstance(node, SequenceNode):
        return list(node.value)
    return [] if is_null(node) else refuse(node, "a list")


def text(node: Node) -> str:
    """Returns a scalar's text, whatever scalar it is."""
    if isinstance(node, ScalarNode):
        return "" if is_null(node) else node.value
    refuse(node, "a text")


def boolean(node: Node) -> bool:
    """Returns a `true` or `false`."""
    if isinstance(node, ScalarNode) and node.value.lower() in {"true", "false"}:
        return node.value.lower() == "true"
    return False if is_null(node) else refuse(node, "true or false")


def integer(node: Node) -> int:
    """Returns an integer, decimal or with a 0x, 0o or 0b prefix."""
    if isinstance(node, ScalarNode):
        try:
            return int(node.value, 0)
        except ValueError:
            pass
    return 0 if is_null(node) else refuse(node, "a whole number")


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
