"""Help texts in the layout of Dagger's own: USAGE, FUNCTIONS, ARGUMENTS, OPTIONS, INHERITED OPTIONS."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from embedded.cli.arguments import supported, unsupported_arguments
from embedded.cli.output import say, write_out
from embedded.cli.request import API_COMMANDS
from embedded.shown import shown, shown_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from embedded.cli.chain import Chain
    from embedded.cli.flags import Flag, FlagSet
    from embedded.cli.model import Function, Model

_NAME_WIDTH = 11


def print_chain_help(model: Model, chain: Chain, common: Sequence[FlagSet]) -> None:
    """Print the help of the last function of a chain, or of the command itself when none is named."""
    link = chain.links[-1] if chain.links else None
    own, inherited = common
    owner = link.function.type.object_name if link else model.root
    following = [function for function in model.functions(owner) if supported(function)]
    arguments = ["ARGUMENTS\n" + flag_table(link.flags)] if link is not None and list(link.flags) else []
    blocks: list[str] = []
    usage = f"  {chain.leaf}"
    if chain.named and link is not None:
        blocks.append(link.function.description)
        usage += " [arguments]" if arguments else ""
    else:
        blocks += [_COMMANDS[chain.leaf.rpartition(" ")[2]], model.description]
        usage += " [options]"
    blocks.append(f"USAGE\n{usage}{' <function>' if following else ''}")
    if chain.named and not model.is_module_type(owner):
        # A core type has dozens of functions that are the same for whatever gives one: the function's own comes first.
        blocks += [*arguments, _of_a_core_type(owner, following)]
    else:
        rows = [(function.command, function.short) for function in following]
        blocks += [*(["FUNCTIONS\n" + name_table(rows)] if rows else []), *arguments]
    if not chain.named:
        blocks.append("OPTIONS\n" + flag_table(own))
        blocks.append("INHERITED OPTIONS\n" + flag_table(inherited))
    if link is not None and (left_out := unsupported_arguments(link.function)):
        blocks.append(f"Skipped {len(left_out)} argument(s) with unsupported types: {', '.join(left_out)}")
    if following:
        blocks.append(f'Use "{chain.leaf} [command] --help" for more information about a command.')
    print_blocks(blocks)


def _of_a_core_type(owner: str, functions: Sequence[Function]) -> str:
    """Lay out those with a text as a table, and the others by their names."""
    if not functions:
        return ""
    told = [(function.command, function.short) for function in functions if function.short != "-"]
    others = ", ".join(function.command for function in functions if function.short == "-")
    lines = [f"FUNCTIONS OF THE {owner.upper()}", *([name_table(told)] if told else [])]
    lines += [_wrapped("  others: " if told else "  ", others)] if others else []
    return "\n".join(lines)


def print_functions(functions: Iterable[Function]) -> None:
    """Print the table of `dagger functions`."""
    listed = list(functions)
    usable = [function for function in listed if supported(function)]
    skipped = [function.command for function in listed if not supported(function)]
    if not usable:
        say("No functions found.")
        return
    rows = [("Name", "Description"), *((function.command, function.short) for function in usable)]
    print_table(rows)
    if skipped:
        write_out(f"\nSkipped {len(skipped)} function(s) with unsupported types: {shown(', '.join(skipped))}\n")


def print_command_help(
    name: str, inherited: FlagSet, own: FlagSet | None = None, usage: str = "", *, spelled: str = ""
) -> None:
    """Print the help of a command that has no functions below it, or with an empty name that of `dagger`.

    `spelled` is the command as the caller wrote it.
    """
    spelled = spelled or f"dagger {name}".rstrip()
    blocks = [_COMMANDS[name], f"USAGE\n  {' '.join(filter(None, (spelled, '[options]', usage)))}"]
    if name == "api":
        blocks.append("COMMANDS\n" + name_table((word, _first(known)) for word, known in API_COMMANDS.items()))
    if not name:
        listed = {key: _first(key) for key in _COMMANDS if key}
        blocks.append("COMMANDS\n" + name_table(sorted(listed.items())))
    if own is not None:
        blocks.append("OPTIONS\n" + flag_table(own))
    blocks.append(("INHERITED OPTIONS" if name else "OPTIONS") + "\n" + flag_table(inherited))
    if not name:
        blocks.append("OF DAGGERW ITSELF\n" + name_table(_DAGGERW))
        blocks.append('Use "dagger [command] --help" for more information about a command.')
    print_blocks(blocks)


def _first(command: str) -> str:
    return _COMMANDS[command].partition("\n")[0]


def print_blocks(blocks: Iterable[str]) -> None:
    """Print texts with an empty line between them."""
    write_out("\n\n".join(shown_lines(block.rstrip()) for block in blocks if block) + "\n")


def print_table(rows: Sequence[tuple[str, str]]) -> None:
    """Print two columns, three blanks between them, the second one wrapped to the terminal."""
    safe = [(shown(name), shown(text)) for name, text in rows]
    width = max(len(name) for name, _ in safe)
    write_out("".join(_wrapped(f"{name:<{width}}   ", text) + "\n" for name, text in safe))


def name_table(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out names with one-line descriptions, wrapped to the terminal."""
    listed = list(rows)
    width = max(_NAME_WIDTH, *(len(name) for name, _ in listed))
    return "\n".join(_wrapped(f"  {name:<{width}}   ", text) for name, text in listed)


def flag_table(flags: FlagSet) -> str:
    """Lay out flags, those that are required first, each group sorted by name."""
    ordered = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: (not flag.required, flag.name))
    heads = [_flag_head(flag) for flag in ordered]
    width = max(len(head) for head in heads)
    lines: list[str] = []
    for head, flag in zip(heads, ordered, strict=True):
        default = f"(default {flag.default})" if flag.default else ""
        usage = " ".join(filter(None, (flag.usage.strip(), default, "[required]" if flag.required else "")))
        lines.append(_wrapped(f"{head:<{width}}   ", usage))
    return "\n".join(lines)


def _flag_head(flag: Flag) -> str:
    short = f"-{flag.shorthand}, " if flag.shorthand else "    "
    return f"  {short}--{flag.name} {flag.value.type_name}".rstrip()


def _wrapped(head: str, text: str) -> str:
    width = max(40, shutil.get_terminal_size().columns - 1)
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, max(20, width - len(head)), break_on_hyphens=False) or [""]
    indent = "\n" + " " * len(head)
    return (head + indent.join(lines)).rstrip()


_DAGGERW = (
    ("--lab", "Work against the stand-in upstream; goes first: ./daggerw --lab call ... (or DAGGERW_LAB=1)"),
    ("--engine", "Look after the embedded engine: ./daggerw --engine status|stop|prune, from any folder"),
    ("DAGGERW_ENGINE", "Environment variable, which engine to run: auto (the default), dagger or embedded"),
)
_COMMANDS = {
    "api": "Dagger 1.0's words for call, functions, query and run",
    "": "Run composable workflows in containers: the embedded engine, with the arguments of dagger",
    "call": "Call one or more functions, interconnected into a pipeline",
    "core": "Call a core function",
    "functions": "List the functions of a module, or of what the functions named give",
    "check": "Run the checks of a module, or those that match a pattern\n\n"
    "A pattern is a check's name, the name of what is above it, or a glob: lint, probe:lint, 'test:*'",
    "run": "Run a command in a session\n\n"
    "It finds DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN, and a python with dagger-io first on PATH.",
    "query": "Send a GraphQL document to the engine, from standard input or --doc",
    "version": "Print the version",
}
