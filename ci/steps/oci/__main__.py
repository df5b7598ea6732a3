"""`python -m ci.steps.oci SPEC OUT [--base ARCHIVE] [--root FOLDER]`: an image of a base's layers and a folder's files.

SPEC is an `ImageSpec` as JSON. Ends with 0, or with 1 and one line that says what is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from ci.common.errors import CozystackTalosError
from ci.common.oci import ImageSpec
from ci.steps.oci.layout import write_image


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.oci", description="Makes an OCI layout of one image.")
    parser.add_argument("spec", type=Path, metavar="SPEC", help="what the image is to be, as JSON")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the layout, new or empty")
    parser.add_argument("--base", type=Path, help="archive of the image that it is put on")
    parser.add_argument("--root", type=Path, help="folder of the files that it adds, at their paths")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        spec = ImageSpec.model_validate_json(arguments.spec.read_text(encoding="utf-8"))
        write_image(spec, arguments.out, arguments.base, arguments.root)
    except (CozystackTalosError, ValidationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or arguments.out}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
