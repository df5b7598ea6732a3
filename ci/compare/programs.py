"""Parts of PE files: kernels, boot loaders, unified kernel images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.compare.parts import Part, little_time, number
from ci.inspect.context import Context
from ci.inspect.pe import open_pe, read_pe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.source import Source

_TIME = "TimeDateStamp"


def pe_parts(source: Source) -> Iterator[Part]:
    """Yield the header's fields, the sections, and what follows from these: their sizes, checksums."""
    headers = open_pe(source)
    yield from _fields(source, "PE header", headers.FILE_HEADER)
    pe = read_pe(source, Context())
    for (name, window, _), section in zip(pe.sections, headers.sections, strict=True):
        yield Part(f"section {name}", window)
        yield from _fields(source, f"section {name}: header", section)
    yield from _fields(source, "optional header", headers.OPTIONAL_HEADER)


def _fields(source: Source, title: str, structure: Any) -> Iterator[Part]:
    begin = int(structure.get_file_offset())
    names: dict[int, str] = {}
    for name, offset in structure.__field_offsets__.items():
        names.setdefault(int(offset), str(name))  # a union has several
    starts = sorted(names)
    for start, end in zip(starts, [*starts[1:], int(structure.sizeof())], strict=True):
        name = names[start]
        window = source.window(f"{source.name}: {name}", begin + start, end - start)
        yield Part(f"{title}: {name}", window, show=little_time if name == _TIME else number)
