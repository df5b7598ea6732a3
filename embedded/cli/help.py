"""Help texts in the layout of Dagger's own: USAGE, FUNCTIONS, ARGUMENTS, OPTIONS, INHERITED OPTIONS."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from embedded.cli.arguments import supported, unsupported_arguments

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
    functions = model.functions(link.function.type.object_name if link else model.root)
    shown = [function for function in functions if supported(function)]
    blocks: list[str] = []
    usage = f"  {chain.leaf}"
    if chain.named and link is not None:
        blocks.append(link.function.description)
        usage += " [arguments]" if list(link.flags) else ""
    else:
        blocks += [_COMMANDS[chain.leaf.rpartition(" ")[2]], model.description]
        usage += " [options]"
    blocks.append(f"USAGE\n{usage}{' <function>' if shown else ''}")
    if shown:
        blocks.append("FUNCTIONS\n" + name_table((function.command, function.short) for function in shown))
    if link is not None and list(link.flags):
        blocks.append("ARGUMENTS\n" + flag_table(link.flags))
    if not chain.named:
        blocks.append("OPTIONS\n" + flag_table(own))
        blocks.append("INHERITED OPTIONS\n" + flag_table(inherited))
    if link is not None and (left_out := unsupported_arguments(link.function)):
        blocks.append(f"Skipped {len(left_out)} argument(s) with unsupported types: {', '.join(left_out)}")
    if shown:
        blocks.append(f'Use "{chain.leaf} [command] --help" for more information about a command.')
    print_blocks(blocks)


def print_functions(functions: Iterable[Function]) -> None:
    """Print the table of `dagger functions`."""
    listed = list(functions)
    shown = [function for function in listed if supported(function)]
    skipped = [function.command for function in listed if not supported(function)]
    if not shown:
        print("No functions found.", file=sys.stderr)
        return
    rows = [("Name", "Description"), *((function.command, function.short) for function in shown)]
    print_table(rows)
    if skipped:
        print(f"\nSkipped {len(skipped)} function(s) with unsupported types: {', '.join(skipped)}")


def print_command_help(name: str, inherited: FlagSet, own: FlagSet | None = None, usage: str = "") -> None:
    """Print the help of a command that has no functions below it, or with an empty name that of `dagger`."""
    blocks = [_COMMANDS[name], f"USAGE\n  {' '.join(filter(None, ('dagger', name, '[options]', usage)))}"]
    if not name:
        listed = {key: text.partition("\n")[0] for key, text in _COMMANDS.items() if key}
        blocks.append("COMMANDS\n" + name_table(sorted(listed.items())))
    if own is not None:
        blocks.append("OPTIONS\n" + flag_table(own))
    blocks.append(("INHERITED OPTIONS" if name else "OPTIONS") + "\n" + flag_table(inherited))
    if not name:
        blocks.append("OF DAGGERW ITSELF\n" + name_table(_DAGGERW))
        blocks.append('Use "dagger [command] --help" for more information about a command.')
    print_blocks(blocks)


def print_blocks(blocks: Iterable[str]) -> None:
    """Print texts with an empty line between them."""
    print("\n\n".join(block.rstrip() for block in blocks if block), flush=True)


def print_table(rows: Sequence[tuple[str, str]]) -> None:
    """Print two columns, three blanks between them."""
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}   {text}".rstrip() for name, text in rows), flush=True)


def name_table(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out names with one-line descriptions, wrapped to the terminal."""
    listed = list(rows)
    width = max(_NAME_WIDTH, *(len(name) for name, _ in listed))
    return "\n".join(_wrapped(f"  {name:<{width}}   ", text) for name, text in listed)


def flag_table(flags: FlagSet) -> str:
    """Lay out flags, those that are required first, each group sorted by name."""
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: (not flag.required, flag.name))
    heads = [_flag_head(flag) for flag in shown]
    width = max(len(head) for head in heads)
    lines: list[str] = []
    for head, flag in zip(heads, shown, strict=True):
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
