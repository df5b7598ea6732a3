"""The files that a machine boots from, made ready; a kernel that can't run there is refused before anything starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ci.boot import machine
from ci.boot.model import Way
from ci.common.errors import BootError
from ci.inspect.compression import compression_of, expand
from ci.inspect.context import Context
from ci.inspect.errors import InspectError
from ci.inspect.pe import read_pe
from ci.inspect.source import is_zeros, open_file

if TYPE_CHECKING:
    from ci.boot.model import BootRequest

_HEAD = 8
_LOADERS = "EFI/BOOT"
_BLOCK = 1 << 16


class ForeignKernelError(BootError):
    """The machine can't run the kernel."""


def prepare(request: BootRequest, assets: Path, work: Path) -> machine.Media:
    """Make ready what a request boots from.

    Raises `ForeignKernelError` where kernel or unified kernel image are for another architecture, and `BootError` where
    a file is missing; what is in an ISO or on a disk is the firmware's to find out.
    """
    files = {kind: _there(assets, path) for kind, path in request.files.items()}
    for kind in ("kernel", "uki"):
        if kind in files:
            _same_architecture(request, files[kind], request.files[kind])
    match request.way:
        case Way.KERNEL:
            return machine.Media(kernel=str(files["kernel"]), initramfs=str(files["initramfs"]))
        case Way.UKI:
            return machine.Media(esp=str(_esp(request, files["uki"], work)))
        case Way.NETBOOT:
            esp = _esp(request, Path(machine.MACHINES[request.arch].ipxe), work)
            (esp / _LOADERS / machine.AUTOEXEC).write_text(machine.AUTOEXEC_TEXT, encoding="ascii")
            return machine.Media(esp=str(esp))
        case _:
            return machine.Media(image=str(_unpacked(files[request.way.value], work / "image.raw")))


def _there(assets: Path, path: str) -> Path:
    file = assets / path
    if not file.is_file():
        raise BootError(f"{path} is not among the assets")
    return file


def _same_architecture(request: BootRequest, file: Path, name: str) -> None:
    try:
        with open_file(file) as source:
            found = read_pe(source, Context()).machine
    except InspectError as error:
        raise ForeignKernelError(f"{name} is nothing that firmware could start: {error}") from None
    if found != request.arch.value:
        raise ForeignKernelError(f"{name} is for {found}, the machine is {request.arch}")


def _esp(request: BootRequest, program: Path, work: Path) -> Path:
    """Return a folder for an EFI system partition that boots a program."""
    loader = work / "esp" / machine.MACHINES[request.arch].loader
    loader.parent.mkdir(parents=True)
    shutil.copyfile(program, loader)
    return work / "esp"


def _unpacked(file: Path, out: Path) -> Path:
    """Return the file as it is, or unpacked with its holes."""
    with open_file(file) as source:
        kind = compression_of(source.read_up_to(0, _HEAD))
        if kind is None:
            return file
        with out.open("wb") as target:
            for chunk in expand(source, kind, Context()):
                for start in range(0, len(chunk), _BLOCK):
                    block = chunk[start : start + _BLOCK]
                    if is_zeros(block):
                        target.seek(len(block), os.SEEK_CUR)
                    else:
                        target.write(block)
            target.truncate(target.tell())
    return out
