"""The parts of a file, in the order in which a reader would want to hear of them, and a header's fields among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci.inspect.source import Source

#: Names that follow from content are no difference of their own: a blob is named by its digest.
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Part:
    """Something in a file, with one of three: bytes of a kind of their own, a field's bytes, or parts inside."""

    name: str
    content: Source | None = None
    #: Shows a field's bytes as a value; where two values look the same, they are.
    show: Callable[[bytes], str] | None = None
    #: What is inside, in order.
    inside: Callable[[], Iterator[Part]] | None = None


#: A field: name, bytes, and how its value is shown.
Field = tuple[str, int, "Callable[[bytes], str]"]


def fields(source: Source, start: int, layout: Iterable[Field], header: str = "") -> Iterator[Part]:
    """Yield the fields of a header that begins at `start`, one behind the other; those without a name are passed."""
    for name, length, show in layout:
        if name:
            window = source.window(f"{source.name}: {name}", start, length)
            yield Part(f"{header}: {name}" if header else name, window, show)
        start += length


def number(data: bytes) -> str:
    """Show a little-endian number."""
    return str(int.from_bytes(data, "little"))


def big_number(data: bytes) -> str:
    """Show a big-endian number."""
    return str(int.from_bytes(data))


def hexadecimal(data: bytes) -> str:
    """Show bytes: all of 16 or fewer, else the first 16."""
    return data[:16].hex() + ("…" if len(data) > 16 else "")


def text(data: bytes) -> str:
    """Show a text, padding left out."""
    return repr(data.rstrip(b"\0 ").decode("utf-8", "backslashreplace"))


def time(seconds: int) -> str:
    """Show seconds since 1970, with the date."""
    try:
        return f"{seconds} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ})"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def little_time(data: bytes) -> str:
    """Show a little-endian time."""
    return time(int.from_bytes(data, "little"))
