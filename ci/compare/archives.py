"""Parts of archives: newc cpio and tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.compare.parts import DIGEST, Part, fields, text, time
from ci.inspect.context import Context
from ci.inspect.cpio import read_members
from ci.inspect.source import ByteStream
from ci.inspect.tar import list_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.compare.parts import Field
    from ci.inspect.source import Source


def _hex(data: bytes) -> str:
    return str(int(data, 16))


def _octal(data: bytes) -> str:
    digits = data.strip(b"\0 ")
    return digits.decode() if digits.isdigit() else data.hex()


def _mode(data: bytes) -> str:
    return f"{int(data, 16):o}"


def _hex_time(data: bytes) -> str:
    return time(int(data, 16))


def _name(data: bytes) -> str:
    """Shows a name without the digest that it may be: that one follows from the content."""
    return DIGEST.sub("digest", text(data))


def _octal_time(data: bytes) -> str:
    digits = data.strip(b"\0 ")
    return time(int(digits, 8)) if digits.isdigit() else data.hex()


#: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
_CPIO: tuple[Field, ...] = (
    ("magic", 6, text),
    ("inode", 8, _hex),
    ("mode", 8, _mode),
    ("uid", 8, _hex),
    ("gid", 8, _hex),
    ("links", 8, _hex),
    ("mtime", 8, _hex_time),
    ("", 8, _hex),  # the size: the content is compared
    ("device major", 8, _hex),
    ("device minor", 8, _hex),
    ("special device major", 8, _hex),
    ("special device minor", 8, _hex),
    ("size of the name", 8, _hex),
    ("checksum", 8, _hex),
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
    """Yields the entries of the archives in a source, each with header and content."""
    stream = ByteStream(source.name, source.chunks())
    for header, _ in read_members(stream, Context(), one_archive=False):
        yield _entry(source, header.path, header.offset, stream.offset, header.size, _CPIO)


def tar_parts(source: Source) -> Iterator[Part]:
    """Yields the members of a tar, each with header and content."""
    for member in list_members(source, Context()):
        yield _entry(source, member.path, member.offset - _TAR_HEADER, member.offset, member.size, _TAR)


def _entry(source: Source, path: str, start: int, offset: int, size: int, layout: tuple[Field, ...]) -> Part:
    content = Part("content", source.window(f"{source.name}: {path}", offset, size))

    def inside() -> Iterator[Part]:
        yield from fields(source, start, layout)
        yield content

    return Part(f"entry {path}", inside=inside)
