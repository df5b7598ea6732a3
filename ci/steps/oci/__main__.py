"""`python -m ci.steps.oci SPEC OUT [--base ARCHIVE] [--root FOLDER]`: an image of a base's layers and a folder's files.

SPEC is an `ImageSpec` as JSON. Ends with 0, or with 1 and one line that says what is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from ci.common.errors import UserError
from ci.common.oci import ImageSpec
from ci.steps.normalise.files import ended
from ci.steps.oci.layout import write_image


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.oci", description="Makes an OCI layout of one image.")
    parser.add_argument("spec", type=Path, metavar="SPEC", help="what the image is to be, as JSON")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the layout, new or empty")
    parser.add_argument("--base", type=Path, help="archive of the image that it is put on")
    parser.add_argument("--root", type=Path, help="folder of the files that it adds, at their paths")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    try:
        spec = ImageSpec.model_validate_json(arguments.spec.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise UserError(f"{arguments.spec}: {error}") from error
    write_image(spec, arguments.out, arguments.base, arguments.root)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return ended(lambda: _run(arguments), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
