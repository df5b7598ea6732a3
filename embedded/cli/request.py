"""A command line taken apart as far as it can be without the module: which command, with which options.

Dagger 0.21's words are taken, and those that 1.0 has for the same: `dagger api call`, `--load-module`, `check --skip`.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cli.errors import UsageError
from embedded.cli.flags import Flag, FlagSet
from embedded.cli.options import Options, call_flags, global_flags, module_flags, read_options
from embedded.cli.values import many, parse_bool, scalar
from embedded.engine.errors import EngineError, UnsupportedError

if TYPE_CHECKING:
    from embedded.cli.protocol import Mode

_ALIASES = {"checks": "check", "r": "run", "q": "query"}
API_COMMANDS = {"call": "call", "functions": "functions", "query": "query", "with-session": "run"}
"""Dagger 1.0's words below `dagger api`, and what 0.21 calls them."""
# Commands of Dagger's own that this engine has no answer for.
_UNSUPPORTED = frozenset(
    [
        "client",
        "completion",
        "config",
        "develop",
        "engine",
        "generate",
        "init",
        "install",
        "listen",
        "lock",
        "login",
        "logout",
        "mcp",
        "org",
        "publish",
        "session",
        "shell",
        "toolchain",
        "trace",
        "uninstall",
        "up",
        "update",
    ]
)
_COMMANDS = frozenset({"api", "call", "core", "functions", "check", "run", "query", "version", "help"})
INTERSPERSED = frozenset({"functions", "check", "query"})


@dataclass(frozen=True)
class Request:
    """A command line in parts; `spelled` is the command as the caller wrote it: `dagger api call`."""

    command: str
    words: list[str]
    options: Options
    mode: Mode
    wants_help: bool
    spelled: str


def read_request(args: list[str]) -> Request:
    """Find the command and the global options, wherever those stand; raises EngineError."""
    mode: Mode = "lab" if args[:1] == ["--lab"] else "real"
    words = args[1:] if mode == "lab" else args
    before = FlagSet([*global_flags(), *module_flags()])
    rest = before.parse(words, interspersed=False)
    command = _ALIASES.get(rest[0], rest[0]) if rest else ""
    wants_help = bool(before["help"].value.get())
    if command == "help":
        command, rest, wants_help = (rest[1] if len(rest) > 1 else ""), rest[1:], True
    _check_command(command)
    spelled = f"dagger {command}".rstrip()
    if command == "api" and len(rest) > 1 and not rest[1].startswith("-"):
        command, spelled, rest = _api_command(rest[1]), f"dagger api {rest[1]}", rest[1:]
    if command == "run":
        # What follows the program's name is its own, where these options may mean something else.
        everywhere = before
        FlagSet([*before, *own_flags("run")]).parse(rest[1:], interspersed=False, skip_unknown=True)
        wants_help = wants_help or bool(before["help"].value.get())
    else:
        everywhere = global_flags()
        everywhere.parse(words, interspersed=True, skip_unknown=True)
        ended = rest.index("--") if "--" in rest else len(rest)
        wants_help = wants_help or any(word in ("--help", "-h") for word in rest[:ended])
    if spelled.startswith("dagger api") and everywhere["lock"].changed:
        raise UsageError("unknown flag: --lock", spelled)  # 1.0 has a command for that, and no option
    early = [] if command in ("run", "version", "api", "") else _module_words(before)
    return Request(command, [*early, *rest[1:]], read_options(everywhere, os.environ), mode, wants_help, spelled)


def _module_words(before: FlagSet) -> list[str]:
    """Write the options that name a module anew, which 1.0 takes before the command too."""
    words = [f"--{name}={before[name].value.get()}" for name in ("mod", "workspace") if before[name].changed]
    return [*words, "--no-mod"] if before["no-mod"].value.get() else words


def _api_command(word: str) -> str:
    if word in API_COMMANDS:
        return API_COMMANDS[word]
    if word in ("client", "listen", "session"):
        raise UnsupportedError(f"dagger api {word}")
    near = difflib.get_close_matches(word, API_COMMANDS, n=3)
    raise UsageError(f'unknown command "{word}" for "dagger api"', "dagger api", near)


def own_flags(command: str) -> FlagSet:
    """Make the flags of a command's own, functions' arguments aside."""
    match command:
        case "run":
            timeout = Flag("cleanup-timeout", scalar("duration", str, "10s"), "Has no effect: it is always ten seconds")
            return FlagSet([timeout, _switch("focus", "Has no effect: the command's output is always shown")])
        case "query":
            from embedded.cli.query import query_flags

            return FlagSet([*query_flags(), *module_flags()])
        case "check":
            return FlagSet(
                [
                    _switch("list", "List available checks", "l"),
                    _switch("failfast", "Begin no further check after the first failure"),
                    Flag(
                        "skip", many("stringArray", lambda text: [text], str), "Leave out checks that match a pattern"
                    ),
                    _switch("no-generate", "Has no effect: only functions marked as checks are run"),
                    *module_flags(),
                ]
            )
        case "functions":
            return module_flags()
        case _:
            return call_flags()


def _check_command(command: str) -> None:
    if not command or command in _COMMANDS:
        return
    if command in _UNSUPPORTED or Path(command).is_file():
        raise UnsupportedError(f"dagger {command if command in _UNSUPPORTED else 'shell'}")
    from embedded.cli.source import seems_a_function

    message = f'unknown command or file "{command}" for "dagger"'
    near = difflib.get_close_matches(command, sorted(_COMMANDS), n=3, cutoff=0.7)
    if seems_a_function(command, Path.cwd()):
        near.insert(0, f"call {command}")
    raise EngineError(message + ("\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near) if near else ""))


def _switch(name: str, usage: str, short: str = "") -> Flag:
    return Flag(name, scalar("", parse_bool, False, bare="true"), usage, short)
