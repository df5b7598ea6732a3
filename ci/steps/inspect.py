"""`python -m ci.steps.inspect`: what is inside files and folders, and how two of them differ.

    show  PATH          [--name NAME]              [--format text|json|yaml] [--all]
    diff  BEFORE AFTER  [--names BEFORE AFTER]     [--format text|json|yaml|html] [--fail-on-change]

Names are what the outermost are called instead of their paths. Ends with 0, with 1 if something changed and that is to
fail (the difference is written), or with 2 and a line on standard error for every path that can't be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.common.progress import put
from ci.inspect.errors import InspectError
from ci.inspect.inspect import inspect_path
from ci.inspect.source import printable
from ci.report.diff import diff, render_diff
from ci.report.inspection import render
from ci.report.pages.diff_page import diff_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.inspect.models import Inspection


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.inspect", description="Shows what is inside boot assets.")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="what is inside a file or folder of any kind")
    show.add_argument("paths", type=Path, nargs=1, metavar="PATH")
    show.add_argument("--name", dest="names", nargs=1)
    show.add_argument("--all", action="store_true", help="name every file in the text, also in folders of many")
    compare = commands.add_parser("diff", help="what changed from one to another")
    compare.add_argument("paths", type=Path, nargs=2, metavar="PATH")
    compare.add_argument("--names", nargs=2)
    compare.add_argument("--fail-on-change", action="store_true", help="end with 1 if anything changed")
    for command, more in ((show, ()), (compare, ("html",))):
        command.add_argument("--format", choices=("text", "json", "yaml", *more), default="text")
    return parser


def _read(paths: Sequence[Path], names: Sequence[str] | None, *, unsigned: bool) -> list[Inspection] | None:
    """Inspect all paths, and return `None` where one can't be read: errors are printed for all of those."""
    found: list[Inspection] = []
    for path, name in zip(paths, names or [printable(str(path)) for path in paths], strict=True):
        try:
            found.append(inspect_path(path, name=name, unsigned=unsigned))
        except InspectError as error:
            print(f"error: {error}", file=sys.stderr)
    return found if len(found) == len(paths) else None


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    found = _read(arguments.paths, arguments.names, unsigned=arguments.command == "diff")
    if found is None:
        return 2
    code = 0
    if arguments.command == "diff":
        difference = diff(*found)
        page = arguments.format == "html"
        text = diff_page(found[0], found[1], difference) if page else render_diff(difference, arguments.format)
        code = int(arguments.fail_on_change and difference.changed)
    else:
        text = render(found[0], arguments.format, whole=arguments.all)
    return code if put(text) else 2


if __name__ == "__main__":
    sys.exit(main())
