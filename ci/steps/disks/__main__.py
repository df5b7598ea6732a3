"""`python -m ci.steps.disks IN OUT --format qcow2|compressed.qcow2|vhd|vmdk|ova --epoch N [--name NAME] [--arch ARCH]`.

IN is a raw disk image. qemu-img makes qcow2 and VHD; VMDK and OVA are written here. Ends with 0, or with 1 and one line
that says what is wrong; nothing is left at OUT then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ci.common.arch import ARCHES, Arch
from ci.steps.disks.ova import write_ova
from ci.steps.disks.qemu import write_qcow2, write_vhd
from ci.steps.disks.vmdk import write_vmdk
from ci.steps.normalise.files import ended

#: Formats as the plan names them (`DiskFormat` in `ci.plan.outputs`), but for the raw one.
FORMATS = ("qcow2", "compressed.qcow2", "vhd", "vmdk", "ova")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.steps.disks", description="Makes a disk image another format.")
    parser.add_argument("source", type=Path, metavar="IN", help="a raw disk image")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--epoch", type=int, required=True, help="time of all timestamps, in seconds since 1970")
    parser.add_argument("--name", default="talos", help="what the virtual machine in an OVA is called")
    parser.add_argument("--arch", choices=ARCHES, default=Arch.ARM64.value, help="of the virtual machine in an OVA")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    source, out, epoch = arguments.source, arguments.out, arguments.epoch
    match arguments.format:
        case "qcow2" | "compressed.qcow2" as form:
            write_qcow2(source, out, compressed=form != "qcow2")
        case "vhd":
            write_vhd(source, out, epoch)
        case "vmdk":
            write_vmdk(source, out)
        case _:
            write_ova(source, out, epoch, arguments.name, Arch(arguments.arch))


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return ended(lambda: _run(arguments), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
