"""Numbers that files hold as digits, read as their formats say.

Python's own `int` also takes signs, blanks, underscores and the digits of other scripts, which no format here has.
"""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = {8: re.compile(rb"[0-7]+"), 10: re.compile(rb"[0-9]+"), 16: re.compile(rb"[0-9A-Fa-f]+")}
#: A field of a tar header: blanks, digits, and behind a NUL or a blank whatever is left of the field.
_FIELD: Final = re.compile(rb" *([0-7]*)(?:[ \0].*)?", re.DOTALL)
#: The first byte of a tar field that holds a binary number, positive or negative.
_BINARY: Final = (b"\x80", b"\xff")


def number(digits: bytes, base: int) -> int | None:
    """Return the number that digits of a base (8, 10, 16) write, `None` where there is anything else."""
    return int(digits, base) if _DIGITS[base].fullmatch(digits) else None


def tar_number(field: bytes) -> int | None:
    """Return the number in a field of a tar header, octal or binary; an empty one is 0, `None` stands for no number."""
    if field[:1] in _BINARY:
        value = int.from_bytes(field[1:])
        return value - (1 << 8 * (len(field) - 1)) if field[:1] == b"\xff" else value
    found = _FIELD.fullmatch(field)
    return None if found is None else int(found[1] or b"0", 8)
