"""Disks, whatever they are stored as: the raw disk that a file holds, and what the file is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.inspect.errors import CorruptFileError, UnsupportedFileError
from ci.inspect.kinds import kind_of
from ci.inspect.ova import description_of, ova_disk
from ci.inspect.virtual_disk import Qcow2, vhd_content
from ci.inspect.vmdk import Vmdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.inspect.context import Context
    from ci.inspect.kinds import Kind
    from ci.inspect.models import StoredAs
    from ci.inspect.source import Source

#: Kinds of files that hold a disk, or are one.
DISKS: frozenset[Kind] = frozenset({"disk", "qcow2", "vmdk", "vhd"})
#: Name of the one file in a tar of Google Cloud's.
_GOOGLE = "disk.raw"


def stored_disk(source: Source, kind: Kind, context: Context) -> tuple[StoredAs, Source]:
    """Return the disk in a file of one of `DISKS`, and what it is stored as.

    Raises where no disk with a GUID partition table is in there.
    """
    match kind:
        case "qcow2":
            return "qcow2", _with_table(Qcow2(source, context), kind)
        case "vmdk":
            return "vmdk", _with_table(Vmdk(source, context), "VMDK")
        case _:
            if (inside := vhd_content(source)) is not None:
                return "vhd", _with_table(inside, "VHD")
            if kind == "vhd":
                raise CorruptFileError(source.name, "VHD footer", "the copy of it at the beginning has none at the end")
            return "raw", source


def _with_table(disk: Source, what: str) -> Source:
    if kind_of(disk) != "disk":
        raise UnsupportedFileError(disk.name, what, "the disk in it has no GUID partition table")
    return disk


def disk_in_tar(source: Source, files: Mapping[str, Source], context: Context) -> tuple[StoredAs, Source] | None:
    """Return the disk in a tar: an OVA's, or the raw one that Google Cloud takes; `None` where it is no such tar."""
    if description_of(files) is not None:
        disk = ova_disk(source, files, context)
        kind = kind_of(disk)
        if kind not in DISKS:
            raise UnsupportedFileError(source.name, "OVA", f"its disk is of the kind {kind}")
        return "ova", stored_disk(disk, kind, context)[1]
    if set(files) == {_GOOGLE} and kind_of(files[_GOOGLE]) == "disk":
        return "tar", files[_GOOGLE]
    return None
