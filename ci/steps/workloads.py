"""`python -m ci.steps.workloads CHECKOUT [--name NAME] [--rendered FOLDER]`: what a CozyStack checkout's packages run.

Writes `Workloads` as JSON. FOLDER has what `helm template` printed, `<group>/<package>.yaml`, and for a chart that it
refused `<group>/<package>.err`. Ends with 0, or with 2 and one line on standard error where the checkout can't be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.common.errors import CozystackTalosError
from ci.common.progress import put
from ci.workloads.checkout import read_checkout
from ci.workloads.find import find_workloads
from ci.workloads.rendered import read_rendered, with_rendered

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ci.steps.workloads", description="Shows what a checkout's packages run."
    )
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT")
    parser.add_argument("--name", default="--upstream", help="what errors call the checkout")
    parser.add_argument("--rendered", type=Path, help="folder with what `helm template` printed of each package")
    arguments = parser.parse_args(argv)
    try:
        files = read_checkout(arguments.checkout, arguments.name)
        found = find_workloads(files)
        if arguments.rendered:
            found = with_rendered(found, read_rendered(arguments.rendered), files)
    except (CozystackTalosError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if put(found.model_dump_json()) else 2


if __name__ == "__main__":
    sys.exit(main())
