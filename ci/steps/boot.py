"""`python -m ci.steps.boot`: boots assets inside a container.

    run   --request FILE --assets DIR --out DIR [--kvm]      boots; log, verdict and timeline go to DIR
    read  --request FILE --log FILE                          judges the log of a boot anywhere

Ends with 0 if the machine came up as planned, 1 if not (everything is written before), 2 if nothing can be tried.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ci.boot.console import parse_log
from ci.boot.model import BootRequest
from ci.boot.reader import read_boot
from ci.boot.render import render_verdict
from ci.boot.run import run_boot
from ci.boot.timeline import timeline
from ci.common.documents import json_text
from ci.common.errors import BootError, CozystackTalosError

if TYPE_CHECKING:
    from ci.boot.model import BootVerdict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.boot", description="Boots assets in QEMU.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="boot, and write log, verdict and timeline")
    run.add_argument("--assets", type=Path, required=True, help="the folder with the assets")
    run.add_argument("--out", type=Path, required=True, help="the folder for boot-<way>.log, .json, .txt and .svg")
    run.add_argument("--kvm", action="store_true", help="make /dev/kvm where it is missing")
    read = commands.add_parser("read", help="judge a log")
    read.add_argument("--log", type=Path, required=True, help="a serial log, of this program or of any machine")
    for command in (run, read):
        command.add_argument("--request", type=Path, required=True, help="what is booted and expected, as JSON")
    return parser


def _request(path: Path) -> BootRequest:
    try:
        return BootRequest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BootError(f"{path}: {error}") from None


def _say(line: str) -> None:
    print(line, flush=True)


def _run(arguments: argparse.Namespace) -> BootVerdict:
    request = _request(arguments.request)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    name = f"boot-{request.way}"
    with (
        tempfile.TemporaryDirectory(prefix="boot-") as work,
        (out / f"{name}.log").open("w", encoding="utf-8") as log,
    ):
        verdict = asyncio.run(run_boot(request, arguments.assets, Path(work), log, _say, make_kvm=arguments.kvm))
    (out / f"{name}.json").write_text(json_text(verdict.model_dump(mode="json")), encoding="utf-8")
    (out / f"{name}.txt").write_text(render_verdict(verdict), encoding="utf-8")
    (out / f"{name}.svg").write_text(timeline(verdict), encoding="utf-8")
    return verdict


def _read(arguments: argparse.Namespace) -> BootVerdict:
    request = _request(arguments.request)
    try:
        text = arguments.log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BootError(f"{arguments.log}: {error.strerror}") from None
    return read_boot(parse_log(text), request)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        verdict = _run(arguments) if arguments.command == "run" else _read(arguments)
    except CozystackTalosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n" + render_verdict(verdict), end="", flush=True)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
