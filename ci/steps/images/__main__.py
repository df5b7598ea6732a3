"""`python -m ci.steps.images IMAGE --expect FILE`: the checks of container images, over what crane says of them.

    --name NAME                     what errors call the image
    --about FILE                    what its registry says of its manifest: `RegistryFacts` as JSON
    --assets-expect FILE            also check the assets in it, against an `Expectation`; `-`: against themselves
    --format text|json|yaml

IMAGE is the folder of an OCI layout, or an archive. Ends with 0 if all checks pass, 1 if one fails, 2 if there is
nothing to check.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ci.common.errors import CozystackTalosError
from ci.plan import netboot
from ci.plan.expectation import parse_expectation
from ci.report.build_report import render_result
from ci.steps.images import crane
from ci.verify.checks_images import ASSETS, ExpectedImage, RegistryFacts, kind_of, run_image_checks
from ci.verify.model import Result
from ci.verify.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Where this project's images hold assets, by kind.
_HOLDS = {"assets": ASSETS, "matchbox": f"{netboot.ROOT}/assets/"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.images", description="Checks a container image.")
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--expect", type=Path, required=True, help="what the image has to be, as JSON")
    parser.add_argument("--name", default="image", help="what errors call the image")
    parser.add_argument("--about", type=Path, help="what its registry says of its manifest, as JSON")
    parser.add_argument("--assets-expect", help="what a plan promises of the assets in it, as JSON; -: nothing")
    parser.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    return parser


def _run(arguments: argparse.Namespace, scratch: Path) -> Result:
    expected = ExpectedImage.model_validate_json(arguments.expect.read_text(encoding="utf-8"))
    found = crane.find(arguments.image, arguments.name, scratch)
    if arguments.about:
        about = RegistryFacts.model_validate_json(arguments.about.read_text(encoding="utf-8"))
        found = found.model_copy(update=about.model_dump())
    checks = run_image_checks(found, expected)
    if arguments.assets_expect is None:
        return Result(checks=checks)
    folder = scratch / "assets"
    folder.mkdir()
    if below := _HOLDS.get(kind_of(found, expected) or ""):
        crane.unpack(scratch / "flat.tar", below, folder)
    else:
        shutil.copyfile(arguments.image, folder / arguments.name.replace("/", "_"))
    text = None if arguments.assets_expect == "-" else Path(arguments.assets_expect).read_text(encoding="utf-8")
    expectation = parse_expectation(arguments.assets_expect, text) if text is not None else None
    return Result(checks=(*checks, *verify(folder, expectation).checks))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="cozystack-talos-") as scratch:
            result = _run(arguments, Path(scratch))
    except (CozystackTalosError, ValidationError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sys.stdout.write(render_result(result, arguments.format))
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
