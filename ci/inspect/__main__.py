"""`python -m ci.inspect PATH…`: what is inside files and folders, as text, JSON or YAML.

Ends with 0, or with 1 and a line on standard error for every path that can't be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.inspect.diff import diff, render_diff
from ci.inspect.errors import InspectError
from ci.inspect.inspect import inspect_path
from ci.inspect.render import render

if TYPE_CHECKING:
    from ci.inspect.models import Inspection


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.inspect", description="Shows what is inside boot assets.")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="file or folder of any kind")
    parser.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    parser.add_argument("--output", type=Path, help="a file for the result instead of standard output")
    parser.add_argument("--diff", action="store_true", help="compare two paths: the first is before, the second after")
    parser.add_argument("--fail-on-change", action="store_true", help="with --diff: end with 1 if anything changed")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.diff and len(arguments.paths) != 2:
        parser.error("--diff takes exactly two paths")
    found: list[Inspection] = []
    failed = False
    for path in arguments.paths:
        try:
            found.append(inspect_path(path))
        except InspectError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
    if arguments.diff:
        if failed:
            return 1
        difference = diff(*found)
        text = render_diff(difference, arguments.format)
        failed = arguments.fail_on_change and difference.changed
    else:
        text = "".join(render(inspection, arguments.format) for inspection in found)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
