"""The embedded engine's upkeep: `python -m embedded status|stop|prune`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from embedded.setup.errors import SetupError
from embedded.setup.paths import EMBEDDED, paths


def main() -> int:
    """Run one of the commands in the engine's environment; returns the exit code."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments.command, getattr(arguments, "all", False))
    except SetupError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _run(command: str, everything: bool) -> int:
    python = paths().venv / "bin/python"
    if not python.exists():
        print(f"nothing is set up below {paths().cache}: the first ./daggerw call does it")
        return 0
    if Path(sys.prefix).resolve() != paths().venv.resolve():
        env = os.environ | {"PYTHONPATH": str(EMBEDDED.parent)}
        os.execve(python, [str(python), "-m", "embedded", *sys.argv[1:]], env)
    return _upkeep(command, everything)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="what runs, since when, and what the cache holds")
    commands.add_parser("stop", help="end all that the engine keeps running; the cache stays")
    prune = commands.add_parser("prune", help="empty BuildKit's cache, and remove what older versions set up")
    prune.add_argument("--all", action="store_true", help="remove the whole cache folder, the set-up included")
    return parser


def _upkeep(command: str, everything: bool) -> int:
    from embedded.engine.life import commands as life

    code = life.main(command, everything)
    if command == "prune" and not everything and code == 0:
        from embedded.setup.prune import remove_superseded

        for folder in remove_superseded():
            print(f"removed {folder}")
    return code


if __name__ == "__main__":
    sys.exit(main())
