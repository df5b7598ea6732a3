"""`python -m ci.steps.verify`: the checks inside a container, as a cached exec.

    check       --assets DIR [--expect FILE] [--signed FILE] [--format text|json|yaml]
    seal        --assets DIR --expect FILE --plan FILE         writes SBOM, checksums and report into DIR
    extensions  --talos VERSION --arch ARCH [--kernel FILE] PATH… [--format text|json|yaml]

Ends with 0 if all checks pass, 1 if one fails (everything is written before), 2 if there is nothing to check.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ci.common.errors import CozystackTalosError, PlanError
from ci.common.progress import put
from ci.plan.expectation import Expectation, parse_expectation
from ci.plan.model import Plan
from ci.report.build_report import render_result
from ci.report.seal import seal
from ci.verify.compatibility import parse_version
from ci.verify.extension_images import check_extensions
from ci.verify.model import Result, VerifyError
from ci.verify.verify import verify


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.verify", description="Checks boot assets and extensions.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check a folder of boot assets")
    check.add_argument("--assets", type=Path, required=True, help="the folder that `build` exported")
    check.add_argument("--expect", type=Path, help="what a plan promises, as JSON")
    check.add_argument(
        "--signed", type=Path, help="what cosign says of the files, as JSON: path → why not signed, or null"
    )
    sealing = commands.add_parser("seal", help="write checksums and report of new assets, then check them")
    sealing.add_argument("--assets", type=Path, required=True, help="the folder, which is written to")
    sealing.add_argument("--expect", type=Path, required=True, help="what the plan promises, as JSON")
    sealing.add_argument("--plan", type=Path, required=True, help="the plan, as JSON")
    extensions = commands.add_parser("extensions", help="check extension images before they are packed")
    extensions.add_argument("--talos", required=True, help="version of Talos, such as v1.13.6")
    extensions.add_argument("--arch", choices=("arm64", "amd64"), required=True)
    extensions.add_argument("--kernel", type=Path, help="the kernel that the imager puts into the assets")
    extensions.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="file tree of an image: folder or tar")
    for command in (check, sealing, extensions):
        command.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    return parser


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VerifyError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _expectation(path: Path | None) -> Expectation | None:
    return parse_expectation(str(path), _read(path)) if path is not None else None


def _plan(path: Path) -> Plan:
    try:
        return Plan.parse(_read(path))
    except PlanError as error:
        raise VerifyError(f"{path}: {error}") from error


def _run(arguments: argparse.Namespace) -> Result:
    if arguments.command == "extensions":
        parse_version(arguments.talos)
        return check_extensions(arguments.paths, arguments.talos, arguments.arch, arguments.kernel)
    expectation = _expectation(arguments.expect)
    if arguments.command == "seal":
        return seal(arguments.assets, expectation or Expectation(), _plan(arguments.plan))
    signed = json.loads(_read(arguments.signed)) if arguments.signed else None
    return verify(arguments.assets, expectation, signed)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        result = _run(arguments)
    except CozystackTalosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not put(render_result(result, arguments.format)):
        return 2
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
