"""The command line: `python -m ci.steps.normalise COMMAND …`.

    initramfs       IN OUT --epoch N
    assemble        BASE OUT --epoch N --run 0,2=FILE…          an initramfs of several imager runs' ones
    installer       IN OUT --epoch N
    base-installer  TAR OUT_DIR --arch arm64|amd64
    pack            IN OUT --format xz|zst|gz|tar.gz [--epoch N]
    ipxe            CMDLINE OUT --kernel URL --initramfs URL

Ends with 0, or with 1 and one line that says what is wrong; nothing is left at OUT then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ci.common.arch import ARCHES, Arch
from ci.steps.normalise.assemble import Run, assemble_initramfs
from ci.steps.normalise.base_installer import unpack_base_installer
from ci.steps.normalise.files import ended
from ci.steps.normalise.initramfs import normalise_initramfs
from ci.steps.normalise.installer import normalise_installer
from ci.steps.normalise.ipxe import write_script
from ci.steps.normalise.pack import Packing, pack

#: cpio headers have 32 bits for a time.
_LAST_EPOCH = 0xFFFFFFFF


def _epoch(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= _LAST_EPOCH:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no time: write seconds since 1970, 0 to {_LAST_EPOCH}")


def _imager_run(text: str) -> Run:
    numbers, equals, path = text.partition("=")
    if equals and path and all(number.isascii() and number.isdigit() for number in numbers.split(",")):
        return Run(tuple(int(number) for number in numbers.split(",")), Path(path))
    raise argparse.ArgumentTypeError(f"{text!r} is no run: write the numbers of its extensions and its file, 0,2=FILE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ci.steps.normalise", description="Makes bytes follow from content."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    initramfs = commands.add_parser("initramfs", help="set the times that the imager left in an initramfs")
    assemble = commands.add_parser("assemble", help="put an initramfs together from those of several imager runs")
    assemble.add_argument("--run", type=_imager_run, action="append", required=True, metavar="NUMBERS=FILE")
    installer = commands.add_parser("installer", help="set the times in an installer's docker archive")
    base = commands.add_parser("base-installer", help="unpack an OCI tarball into a layout that the imager reads")
    base.add_argument("--arch", choices=ARCHES, required=True)
    packing = commands.add_parser("pack", help="pack a disk image")
    packing.add_argument("--format", choices=[form.value for form in Packing], required=True)
    packing.add_argument("--epoch", type=_epoch, default=0, help="time of a file in a tar, in seconds since 1970")
    ipxe = commands.add_parser("ipxe", help="write a script of iPXE with the arguments in a file")
    ipxe.add_argument("--kernel", required=True, help="URL of the kernel")
    ipxe.add_argument("--initramfs", required=True, help="URL of the initramfs")
    for command in (initramfs, assemble, installer, base, packing, ipxe):
        command.add_argument("source", type=Path, metavar="IN")
        command.add_argument("out", type=Path, metavar="OUT")
    for command in (initramfs, assemble, installer):
        command.add_argument("--epoch", type=_epoch, required=True, help="seconds since 1970")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    source, out = arguments.source, arguments.out
    match arguments.command:
        case "initramfs":
            normalise_initramfs(source, out, arguments.epoch)
        case "assemble":
            assemble_initramfs(source, arguments.run, out, arguments.epoch)
        case "installer":
            normalise_installer(source, out, arguments.epoch)
        case "base-installer":
            unpack_base_installer(source, out, Arch(arguments.arch))
        case "ipxe":
            write_script(source, out, arguments.kernel, arguments.initramfs)
        case _:
            pack(source, out, Packing(arguments.format), arguments.epoch)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return ended(lambda: _run(arguments), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
