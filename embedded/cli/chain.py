"""From words to a query: the chain of functions that a command line names, and the GraphQL that asks it."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from embedded.cli.arguments import argument_flags, supported
from embedded.cli.errors import UsageError
from embedded.cli.flags import FlagError, FlagSet, UnknownFlagError
from embedded.cli.model import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embedded.cli.fallback import Fallback
    from embedded.cli.model import Function, Model, TypeView


@dataclass(frozen=True)
class Link:
    """One function of a chain with its own flags; `command` is its path, for error messages."""

    function: Function
    flags: FlagSet
    command: str


@dataclass(frozen=True)
class Chain:
    """What a command line calls. Its first link is the module's constructor, if there is a module.

    `leaf` is the command path of the last function named, or of `dagger call` when none was.
    """

    links: tuple[Link, ...]
    leaf: str
    named: int

    @property
    def type(self) -> TypeView | None:
        """What the whole chain gives; None without any link."""
        return self.links[-1].function.type if self.links else None


def read_chain(
    model: Model,
    words: list[str],
    common: Sequence[FlagSet],
    command: str,
    *,
    fallback: Fallback | None = None,
    help_only: bool = False,
) -> Chain:
    """Read functions and their flags one after the other; raises UsageError.

    The flags of `common` (global ones, the command's own) may stand anywhere. `fallback` gives texts for arguments
    that the words leave out: of the constructor, or of the first function if it takes them itself. For help, nothing
    has to be complete.
    """
    links: list[Link] = []
    path = command
    owner = model.root
    rest = words
    if model.constructor is not None:
        links.append(_link(model.constructor, path))
    rest = _parse(links, rest, common, path)
    function = model.find(owner, rest[0]) if rest and owner else None
    own: dict[str, str] = {}
    if fallback:
        own = {
            name: text for name, text in fallback.of(function).items() if not any(_given(one, name) for one in links)
        }
    if links:
        if fallback and not own:
            _fill(links[0], fallback.constructor)
        if rest and not help_only:
            _require(links[0].flags, path)
    named = 0
    while rest:
        function = model.find(owner, rest[0]) if owner else None
        if function is None or not supported(function):
            near = () if help_only or not owner else near_commands(model, owner, rest[0])
            raise UsageError(f'unknown command "{rest[0]}" for "{path}"', path, near)
        path = f"{path} {function.command}"
        links.append(_link(function, path))
        rest = _parse(links, rest[1:], common, path)
        if not named:
            _fill(links[-1], own)
        if not help_only:
            _require(links[-1].flags, path)
        owner = function.type.object_name
        named += 1
    return Chain(tuple(links), path, named)


def near_commands(model: Model, owner: str, word: str) -> list[str]:
    """Name the functions of an object that are spelled much like a word."""
    commands = [function.command for function in model.functions(owner) if supported(function)]
    return difflib.get_close_matches(word, commands, n=3, cutoff=0.6)


def build_query(
    links: Sequence[tuple[Function, dict[str, Any]]],
    leaf: str = "",
    leaf_values: dict[str, tuple[str, Any]] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Write the query of a chain; returns it and its variables.

    `leaf` is a field selected on the last object; `leaf_values` its arguments as name -> (GraphQL type, value).
    What a function that gives its own object is followed by is asked of that object too.
    """
    variables: dict[str, Any] = {}
    declared: list[str] = []

    def call(name: str, arguments: dict[str, tuple[str, Any]]) -> str:
        parts: list[str] = []
        for argument, (kind, value) in arguments.items():
            variable = f"v{len(variables)}"
            variables[variable] = value
            declared.append(f"${variable}: {kind}")
            parts.append(f"{argument}: ${variable}")
        return f"{name}({', '.join(parts)})" if parts else name

    fields: list[tuple[str, bool]] = []
    for function, values in links:
        types = {arg.name: arg.graphql_type for arg in function.arguments}
        arguments = {name: (types[name], value) for name, value in values.items()}
        fields.append((call(function.name, arguments), function.gives_itself))
    selection = call(leaf, leaf_values or {}) if leaf else ""
    for text, of_same_object in reversed(fields):
        below = selection if of_same_object else f"{{ {selection} }}"
        selection = f"{text} {below}" if selection else text
    header = f"query({', '.join(declared)})" if declared else "query"
    return f"{header} {{ {selection} }}", variables


def answer_path(functions: Sequence[Function], leaf: str = "") -> list[str]:
    """Name the fields under which a chain's answer lies: what is only asked beside the others is not among them."""
    last = len(functions) - 1
    passed = [one.name for place, one in enumerate(functions) if not one.gives_itself or (place == last and not leaf)]
    return [*passed, *([leaf] if leaf else [])]


def unwrap(data: Any, names: Sequence[str]) -> Any:
    """Follow the chain's fields into the answer; from the first list on the answer stays as it is."""
    for name in names:
        if not isinstance(data, dict):
            break
        data = cast("dict[str, Any]", data)[name]
    return data


def _link(function: Function, path: str) -> Link:
    return Link(function, argument_flags(function), path)


def _fill(link: Link, texts: Mapping[str, str]) -> None:
    for arg in link.function.arguments:
        fits = arg.type.name == "Directory" or arg.type.kind is Kind.LIST
        if arg.flag in texts and fits and not _given(link, arg.flag):
            link.flags[arg.flag].set(texts[arg.flag])


def _given(link: Link, name: str) -> bool:
    return name in link.flags and link.flags[name].changed


def _parse(links: Sequence[Link], words: list[str], common: Sequence[FlagSet], path: str) -> list[str]:
    own = links[-1].flags if links else FlagSet()
    try:
        return FlagSet(flag for group in (own, *common) for flag in group).parse(words, interspersed=False)
    except UnknownFlagError as error:
        raise UsageError(f"{error}{_where_it_goes(links, error)}", path) from error
    except FlagError as error:
        raise UsageError(str(error), path) from error


def _where_it_goes(links: Sequence[Link], error: UnknownFlagError) -> str:
    """Say where a flag of an earlier function belongs, the nearest first."""
    for link, following in reversed(list(pairwise(links))):
        if error.name not in link.flags:
            continue
        flag, function = link.flags[error.name], following.function.command
        # a Secret's text may be the secret itself
        value = shlex.quote(error.value) if error.value and flag.value.type_name != "Secret" else "..."
        words = [link.command.removeprefix("dagger "), f"--{flag.name}", *([value] if flag.value.bare is None else [])]
        return f"\n--{flag.name} goes before {function}: {' '.join(words)} {function}"
    return ""


def _require(own: FlagSet, path: str) -> None:
    if missing := own.missing():
        names = '", "'.join(missing)
        raise UsageError(f'required flag(s) "{names}" not set', path)
