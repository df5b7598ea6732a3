"""Parts of archives: newc cpio and tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.compare.parts import DIGEST, Part, fields, text, time
from ci.inspect.context import Context
from ci.inspect.cpio import Fields, read_members
from ci.inspect.numbers import number, tar_number
from ci.inspect.source import ByteStream
from ci.inspect.tar import list_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci.compare.parts import Field
    from ci.inspect.source import Source


def _hex(data: bytes) -> str:
    value = number(data, 16)
    return data.hex() if value is None else str(value)


def _octal(data: bytes) -> str:
    value, digits = tar_number(data), data.strip(b"\0 ")
    return digits.decode() if value is not None and digits.isdigit() else data.hex()


def _mode(data: bytes) -> str:
    value = number(data, 16)
    return data.hex() if value is None else f"{value:o}"


def _hex_time(data: bytes) -> str:
    value = number(data, 16)
    return data.hex() if value is None else time(value)


def _name(data: bytes) -> str:
    """Show a name without the digest that it may be: that one follows from the content."""
    return DIGEST.sub("digest", text(data))


def _octal_time(data: bytes) -> str:
    value = tar_number(data)
    return data.hex() if value is None else time(value)


#: How a header's numbers are shown; those that are left out follow from something else that is compared.
_SHOWN: dict[str, tuple[str, Callable[[bytes], str]]] = {
    "mode": ("mode", _mode),
    "mtime": ("mtime", _hex_time),
    "size": ("", _hex),  # the content is compared
    "name_size": ("size of the name", _hex),
}
_CPIO: tuple[Field, ...] = (
    ("magic", 6, text),
    *((name, 8, show) for name, show in (_SHOWN.get(key, (key.replace("_", " "), _hex)) for key in Fields._fields)),
)

#: POSIX, "ustar Interchange Format".
_TAR: tuple[Field, ...] = (
    ("name", 100, _name),
    ("mode", 8, _octal),
    ("uid", 8, _octal),
    ("gid", 8, _octal),
    ("", 12, _octal),  # the size: the content is compared
    ("mtime", 12, _octal_time),
    ("", 8, text),  # the checksum: of what differs elsewhere
    ("type", 1, text),
    ("target of the link", 100, text),
    ("magic", 8, text),
    ("user's name", 32, text),
    ("group's name", 32, text),
    ("device major", 8, _octal),
    ("device minor", 8, _octal),
)
_TAR_HEADER = 512


def cpio_parts(source: Source) -> Iterator[Part]:
    """Yield the entries of the archives in a source, each with header and content."""
    stream = ByteStream(source.name, source.chunks())
    for header, _ in read_members(stream, Context(), one_archive=False):
        yield _entry(source, header.path, header.offset, stream.offset, header.size, _CPIO)


def tar_parts(source: Source) -> Iterator[Part]:
    """Yield the members of a tar, each with header and content."""
    for member in list_members(source, Context()):
        yield _entry(source, member.path, member.offset - _TAR_HEADER, member.offset, member.size, _TAR)


def _entry(source: Source, path: str, start: int, offset: int, size: int, layout: tuple[Field, ...]) -> Part:
    content = Part("content", source.window(f"{source.name}: {path}", offset, size))

    def inside() -> Iterator[Part]:
        yield from fields(source, start, layout)
        yield content

    return Part(f"entry {path}", inside=inside)
