"""ISO 9660 images: names and where each file's bytes are."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from ci.inspect.content import read_source
from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.limits import MIB
from ci.inspect.models import Entry, IsoFacts
from ci.inspect.source import ExtentSource, Source, SourceFile

if TYPE_CHECKING:
    from ci.inspect.context import Context

_SECTOR = 2048

#: What the library raises for a broken image instead of its own error.
_LIBRARY_ERRORS = (
    struct.error,
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
    MemoryError,
    OverflowError,
)


def is_iso(source: Source) -> bool:
    """Return whether there is a volume descriptor."""
    return source.read_up_to(16 * _SECTOR + 1, 5) == b"CD001"


def inspect_iso(source: Source, context: Context) -> tuple[IsoFacts, list[tuple[str, Source]]]:
    """Return the files of an ISO, and windows on their contents."""
    # A third of a second to import, which most calls need not wait for.
    import pycdlib  # noqa: PLC0415
    from pycdlib.pycdlibexception import PyCdlibException  # noqa: PLC0415

    iso: Any = pycdlib.PyCdlib()
    file = SourceFile(source, most=context.limits.metadata, at_once=4 * MIB)
    try:
        try:
            iso.open_fp(file)
        except (PyCdlibException, *_LIBRARY_ERRORS) as error:
            raise CorruptFileError(source.name, "ISO structure", f"{error}" or type(error).__name__) from error
        rock_ridge = bool(iso.has_rock_ridge())
        volume = bytes(iso.pvd.volume_identifier).decode("ascii", "replace").strip()
        entries: list[Entry] = []
        files: list[tuple[str, Source]] = []
        for path, record in _walk(iso.pvd.root_directory_record(), rock_ridge, source, context):
            mtime = _seconds(record.date)
            if record.is_dir():
                entries.append(Entry(path=path, type="directory", mode=0o755, mtime=mtime))
                continue
            if rock_ridge and record.rock_ridge is not None and record.rock_ridge.is_symlink():
                target = cast("bytes", record.rock_ridge.symlink_path()).decode("utf-8", "replace")
                entries.append(Entry(path=path, type="symlink", mode=0o777, target=target, mtime=mtime))
                continue
            extent = (int(record.extent_location()) * _SECTOR, int(record.get_data_length()))
            window = ExtentSource(f"{source.name}:/{path}", source, [extent])
            context.count_expanded(source.name, window.size)
            content = read_source(path, window)
            entries.append(
                Entry(
                    path=path,
                    type="file",
                    mode=0o644,
                    size=window.size,
                    mtime=mtime,
                    sha256=content.sha256,
                    machine=content.machine,
                )
            )
            files.append((path, window))
        return IsoFacts(volume=volume, entries=tuple(entries)), files
    finally:
        file.close()


def _seconds(date: Any) -> int | None:
    """Return a directory record's date; its zone counts quarters of an hour (ECMA-119, section 9.1.5)."""
    try:
        zone = timezone(timedelta(minutes=15 * date.gmtoffset))
        day = (1900 + date.years_since_1900, date.month, date.day_of_month)
        return int(datetime(*day, date.hour, date.minute, date.second, tzinfo=zone).timestamp())
    except ValueError:
        return None  # None was recorded.


def _walk(root: Any, rock_ridge: bool, source: Source, context: Context) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    stack: list[tuple[str, Any, int]] = [("", root, 0)]
    while stack:
        parent, directory, depth = stack.pop(0)
        if depth > context.limits.depth:
            raise LimitExceededError(source.name, parent[:80], f"deeper than {context.limits.depth}")
        for record in directory.children:
            if record.is_dot() or record.is_dotdot():
                continue
            name = _name(record, rock_ridge)
            if "/" in name or not name:
                raise CorruptFileError(source.name, f"/{parent}", f"the name {name!r}")
            path = f"{parent}/{name}" if parent else name
            context.count_entry(source.name, path)
            found.append((path, record))
            if record.is_dir():
                stack.append((path, record, depth + 1))
    return sorted(found, key=lambda item: item[0])


def _name(record: Any, rock_ridge: bool) -> str:
    if rock_ridge and record.rock_ridge is not None and (name := cast("bytes", record.rock_ridge.name())):
        return name.decode("utf-8", "replace")
    # Without Rock Ridge a name carries a version: `LOADER.CON;1`.
    return cast("bytes", record.file_identifier()).decode("ascii", "replace").split(";")[0].rstrip(".")
