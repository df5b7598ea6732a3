"""`python -m embedded.lab build|list|remove NAME…`: the lab by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from embedded import lab
from embedded.lab.recipe import Step


class _Lines:
    """Progress as lines on stderr: a step's name when it starts and its time when it ends."""

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        began = monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        yield self
        print(f"{name} done in {monotonic() - began:.1f} s", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Show nothing: lines are for logs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m embedded.lab", description="The stand-in upstream, by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make what is missing")
    build.add_argument("names", nargs="*", help="image references; all when left out")
    commands.add_parser("list", help="list the images and their digests")
    remove = commands.add_parser("remove", help="forget images, so that they are made again")
    remove.add_argument("names", nargs="+")
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "build":
                lab.ensure(given.names or None, progress=_Lines())
            case "remove":
                for recipe in given.names:
                    lab.builder().stamp(recipe).unlink(missing_ok=True)
            case _:
                made = lab.builder().made()
                for name in lab.images():
                    print(name, made[name].value["image"]["digest"] if name in made else "(not made)")
    except lab.LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
