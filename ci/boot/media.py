"""The files that a machine boots from, made ready; a kernel that can't run there is refused before anything starts."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ci.boot import machine
from ci.boot.config_drive import write_config_drive
from ci.boot.configuration import complete
from ci.boot.system_disk import SIZE, write_system_disk
from ci.boot.ways import Way
from ci.common.errors import BootError
from ci.inspect.compression import compression_of, expand
from ci.inspect.context import Context
from ci.inspect.disk import sector_size
from ci.inspect.errors import InspectError
from ci.inspect.kinds import kind_of
from ci.inspect.oci import files_of
from ci.inspect.pe import read_pe
from ci.inspect.source import is_zeros, open_file
from ci.inspect.stored import DISKS, disk_in_tar, stored_disk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from ci.boot.model import BootRequest
    from ci.inspect.models import StoredAs
    from ci.inspect.source import Source

_HEAD = 8
_LOADERS = "EFI/BOOT"
_BLOCK = 1 << 16
_CHUNK = 1 << 22


class ForeignKernelError(BootError):
    """The machine can't run the kernel."""


def prepare(request: BootRequest, assets: Path, work: Path) -> machine.Media:
    """Make ready what a request boots from.

    Raises `ForeignKernelError` where kernel or unified kernel image are for another architecture, and `BootError` where
    a file is missing; what is in an ISO or on a disk is the firmware's to find out.
    """
    files = {kind: _there(assets, path) for kind, path in request.files.items()}
    configuration = _there(assets, request.machine_config).read_text(encoding="utf-8") if request.machine_config else ""
    for kind in ("kernel", "uki"):
        if kind in files:
            _same_architecture(request, files[kind], request.files[kind])
    media = _media(request, files, work)
    return _with_configuration(request, media, configuration, work) if configuration else media


def _media(request: BootRequest, files: Mapping[str, Path], work: Path) -> machine.Media:
    match request.way:
        case Way.KERNEL:
            return machine.Media(kernel=str(files["kernel"]), initramfs=str(files["initramfs"]))
        case Way.UKI:
            return machine.Media(esp=str(_esp(request, files["uki"], work)))
        case Way.NETBOOT:
            esp = _esp(request, Path(machine.MACHINES[request.arch].ipxe), work)
            (esp / _LOADERS / machine.AUTOEXEC).write_text(machine.AUTOEXEC_TEXT, encoding="ascii")
            return machine.Media(esp=str(esp))
        case Way.METAL:
            return _disk(_unpacked(files["metal"], work / "image.raw"), work / "disk.raw")
        case _:
            return machine.Media(image=str(_unpacked(files[request.way.value], work / "image.raw")))


def _with_configuration(request: BootRequest, media: machine.Media, text: str, work: Path) -> machine.Media:
    """Add the drive with a machine configuration, and the disk of a machine that is installed.

    A disk image gets as large as that disk: what it has of room is too little for what Talos makes on it.
    """
    config = work / "config.iso"
    write_config_drive(config, complete(text))
    if request.way is Way.METAL:
        image = work / "system.raw"
        _copy(_raw(Path(media.image), work / "disk.raw"), image)
        if image.stat().st_size < SIZE:
            os.truncate(image, SIZE)
        return replace(media, image=str(image), form="raw", config=str(config))
    system = work / "system.raw"
    write_system_disk(system)
    return replace(media, system=str(system), config=str(config))


def _copy(file: Path, out: Path) -> None:
    """Copy a file with its holes; one that was made here is taken as it is."""
    if file.parent == out.parent:
        file.rename(out)
        return
    with file.open("rb") as source, out.open("wb") as target:
        _write(iter(lambda: source.read(_CHUNK), b""), target)


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
        raise ForeignKernelError(f"{name} is not a program that firmware can start: {error}") from None
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
            _write(expand(source, kind, Context()), target)
    return out


#: What QEMU starts from as it is, with its name for it; of anything else the disk is taken out.
_QEMU = {"qcow2": "qcow2", "vhd": "vpc", "vmdk": "vmdk", "raw": "raw"}


def _disk(file: Path, out: Path) -> machine.Media:
    """Return what a disk image boots from: itself where QEMU knows its format, else the disk that is in it."""
    with open_file(file) as source, _stored(source) as (form, disk):
        known, sector = _QEMU.get(form), sector_size(disk) or 512
    if known is None:
        return machine.Media(image=str(_raw(file, out)), sector=sector)
    return machine.Media(image=str(file), form=known, sector=sector)


def _raw(file: Path, out: Path) -> Path:
    """Return a disk image as a raw one; that is the file itself, or made at `out` with its holes."""
    with open_file(file) as source, _stored(source) as (form, disk):
        if form == "raw":
            return file
        with out.open("wb") as target:
            _write(disk.chunks(), target)
    return out


@contextmanager
def _stored(source: Source) -> Generator[tuple[StoredAs, Source]]:
    """Give what a disk is stored as, and the disk; what no reader knows is taken for a raw one."""
    context, kind = Context(), kind_of(source)
    if kind in DISKS:
        yield stored_disk(source, kind, context)
    elif kind == "tar" and (found := disk_in_tar(source, files_of(source, context), context)) is not None:
        yield found
    else:
        yield "raw", source


def _write(chunks: Iterable[bytes], target: BinaryIO) -> None:
    """Write what is not empty, and leave holes for the rest."""
    for chunk in chunks:
        for start in range(0, len(chunk), _BLOCK):
            block = chunk[start : start + _BLOCK]
            if is_zeros(block):
                target.seek(len(block), os.SEEK_CUR)
            else:
                target.write(block)
    target.truncate(target.tell())
