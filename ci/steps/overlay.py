"""`python -m ci.steps.overlay`: what a board's overlay has to have left in assets, from what its own program does.

    --host DIR    the overlay for the platform that this runs on: its installer is run here, as the imager runs it
    --nodes DIR   the overlay for the nodes, which goes into the installer image
    --name NAME   of the installer
    --options FILE, --output FILE

The installer is asked for the board's kernel arguments, and installs into an empty folder and onto an empty disk
(siderolabs/talos, pkg/machinery/overlay: `get-options` and `install`, YAML on standard input and output).
Ends with 0, or with 2 where the program does not do its work.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from ci.common.errors import BuildError, CozystackTalosError, FileError
from ci.common.text import escaped, is_plain
from ci.common.yamltext import parse_yaml
from ci.plan.expectation import BootCode, ExpectedOverlay

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a program may take.
_LIMIT = 120
#: Bytes of the disk that is written to, more than any board's boot code reaches.
_DISK = 64 << 20
_BLOCK = 4096
_ESP = "boot/EFI"


def describe(host: Path, nodes: Path, name: str, options: dict[str, Any]) -> ExpectedOverlay:
    """Return what an overlay has to have left in assets; raises `BuildError` where its installer fails."""
    program = host / "installers" / name
    with tempfile.TemporaryDirectory() as scratch:
        disk, mounted = Path(scratch) / "disk", Path(scratch) / "mounted"
        (mounted / _ESP).mkdir(parents=True)
        with disk.open("wb") as file:
            file.truncate(_DISK)
        arguments = _kernel_arguments(program, _run(program, "get-options", options))
        given: dict[str, Any] = {
            "installDisk": str(disk),
            "mountPrefix": str(mounted),
            "artifactsPath": str(host / "artifacts"),
            **({"extraOptions": options} if options else {}),
        }
        _run(program, "install", given)
        return ExpectedOverlay(
            name=name,
            kernel_args=arguments,
            files=_digests(mounted / _ESP),
            boot_code=tuple(_written(disk)),
            artifacts=_digests(nodes / "artifacts"),
            installer=_digest(nodes / "installers" / name),
        )


def _kernel_arguments(program: Path, answer: str) -> tuple[str, ...]:
    """Return the kernel arguments that an overlay's installer asks for: its answer is text from outside."""
    called = f"{_called(program, 'get-options')} answers"
    try:
        data = parse_yaml(answer, called, FileError).data if answer.strip() else None
    except FileError as error:
        raise BuildError(str(error)) from None
    arguments: Any = cast("dict[str, Any]", data).get("kernelArgs") if isinstance(data, dict) else None
    if arguments is None:
        return ()
    if not isinstance(arguments, list):
        raise BuildError(f"{called} with kernelArgs that is no list")
    for argument in cast("list[Any]", arguments):
        if not is_plain(str(argument)):
            raise BuildError(f"{called} with a kernel argument that is not a plain word: {argument!r}")
    return tuple(str(argument) for argument in cast("list[Any]", arguments))


def _called(program: Path, command: str) -> str:
    return f"the overlay's installer {program.name} {command}"


def _run(program: Path, command: str, given: dict[str, Any]) -> str:
    text = yaml.safe_dump(given) if given else "{}\n"
    called = _called(program, command)
    try:
        done = subprocess.run(  # noqa: S603 (the imager runs the same program)
            [program, command],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{called}: {error}") from None
    if done.returncode != 0:
        raise BuildError(f"{called} failed, with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {escaped(path.relative_to(folder).as_posix()): _digest(path) for path in files}


def _written(disk: Path) -> Iterator[BootCode]:
    """Yield what was written onto an empty disk: blocks that are not empty, those next to each other together."""
    start, content = 0, b""
    with disk.open("rb") as file:
        offset = 0
        while block := file.read(_BLOCK):
            if block.strip(b"\0"):
                start = start if content else offset
                content += block
            elif content:
                yield _code(start, content)
                content = b""
            offset += len(block)
    if content:
        yield _code(start, content)


def _code(offset: int, content: bytes) -> BootCode:
    content = content.rstrip(b"\0")
    return BootCode(offset=offset, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ci.steps.overlay", description="Says what an overlay installs.")
    for name in ("host", "nodes", "options", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args(argv)
    try:
        options: Any = yaml.safe_load(arguments.options.read_text(encoding="utf-8")) or {}
        found = describe(arguments.host, arguments.nodes, arguments.name, options)
    except CozystackTalosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.output.write_text(found.model_dump_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
