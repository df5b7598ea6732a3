"""The embedded engine's upkeep: `./daggerw --engine status|stop|prune|lab|setup|python`, from any folder."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from embedded.setup.errors import SetupError
from embedded.setup.paths import EMBEDDED, paths

DESCRIPTION = "Look after the embedded engine: what it runs, what it keeps, what it needs."
PROGRAM = "daggerw --engine"
FORWARDED = ("lab", "setup", "python")
"""Words that hand on all that follows."""


def main() -> int:
    """Run one of the commands in the engine's environment; returns the exit code."""
    words = sys.argv[1:]
    arguments = _parser().parse_args(words[:1] if words[:1] and words[0] in FORWARDED else words)
    try:
        if arguments.command == "setup":
            _replace(Path(sys.executable), ["-m", "embedded.setup", *words[1:]])
        return _run(arguments)
    except (SetupError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    python = paths().venv / "bin/python"
    if not python.exists():
        nothing = f"nothing is set up below {paths().cache}"
        if arguments.command in FORWARDED:
            raise SetupError(nothing, hint="run ./daggerw --engine setup --lab first")
        print(f"{nothing}: the first ./daggerw call does it")
        return 0
    if arguments.command == "lab":
        _replace(python, ["-m", "embedded.lab", *sys.argv[2:]])
    if arguments.command == "python":
        _replace(python, sys.argv[2:])
    if Path(sys.prefix).resolve() != paths().venv.resolve():
        _replace(python, ["-m", "embedded", *sys.argv[1:]])
    return _upkeep(arguments.command, getattr(arguments, "all", False))


def _replace(python: Path, arguments: list[str]) -> None:
    sys.stdout.flush()
    env = os.environ | {"PYTHONPATH": str(EMBEDDED.parent), "PYTHONSAFEPATH": "1"}
    os.execve(python, [str(python), *arguments], env)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="status|stop|prune|lab|setup|python")
    commands.add_parser("status", help="show what runs, since when, and what the cache holds")
    commands.add_parser("stop", help="end all that the engine keeps running; the cache stays")
    prune = commands.add_parser(
        "prune", help="empty the caches, remove what older versions made, and say what that freed"
    )
    prune.add_argument("--all", action="store_true", help="remove the whole cache folder, the set-up included")
    commands.add_parser("lab", help="make, list or remove stand-in images: lab --help", add_help=False)
    commands.add_parser("setup", help="make what the first call would: setup --help", add_help=False)
    commands.add_parser("python", help="run the engine's own Python with the words that follow", add_help=False)
    return parser


def _upkeep(command: str, everything: bool) -> int:
    from embedded.engine.life import commands as life

    code = life.main(command, everything)
    if command == "prune" and not everything and code == 0:
        from embedded import lab
        from embedded.lab import superseded
        from embedded.setup import prune

        removed = [*prune.remove_superseded(life.used), *superseded.remove_superseded(lab.builder(), life.used)]
        for one in removed:
            print(f"{one.what}: freed {life.size(one.freed)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
