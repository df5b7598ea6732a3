"""`python -m ci.steps.compare ONE OTHER [--format text|json]`: whether two folders hold the same files, byte by byte.

Ends with 0 if they do, with 1 if not (every file's first difference is printed), or with 2 if a folder can't be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ci.common.progress import put
from ci.compare.folders import compare_folders
from ci.inspect.errors import InspectError


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ci.steps.compare", description="Compares two builds byte by byte.")
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    arguments = parser.parse_args(argv)
    try:
        comparison = compare_folders(arguments.one, arguments.other)
    except InspectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not put(comparison.render(arguments.format)):
        return 2
    return 0 if comparison.equal else 1


if __name__ == "__main__":
    sys.exit(main())
