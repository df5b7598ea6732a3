"""Text from outside, before a person sees it: no control characters, no forged lines, no passwords.

What manifests, registries, archives, checkouts and users say may hold anything. Two gates:

- `escaped` for a word or a line of it that goes into a text of ours: nothing in it breaks the line;
- `shown` for a whole text on its way to a terminal, an error or a file: its lines stay, what is not print goes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Characters of a line that is shown; what is beyond is counted.
LONGEST_LINE: Final = 4000

#: Unicode's categories that are never shown as they are: controls, formats (bidirectional overrides, zero-width
#: characters), surrogates, private and unassigned code points, separators of lines and paragraphs.
_NOT_SHOWN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

#: `user:password@` and `token@` in a URL; a password that is not escaped as it should be may hold `/`, `?` and `#`, but
#: what begins with a port and a slash is none. Bounded, so that a hostile text costs by its length only.
_CREDENTIALS: Final = re.compile(
    r"\b([a-z][a-z0-9+.-]{0,30}://)(?:[^\s/?#@:\[]*:(?!\d*[/?#])[^\s'\"<>]{0,200}|[^\s/?#@]*(?:@[^\s/?#@]*)*)@",
    re.IGNORECASE,
)

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str, *, most: int = LONGEST_LINE) -> str:
    """Return a text as one line in which every character is printed; longer than `most` characters it is cut."""
    return _cut("".join(map(_character, without_credentials(text))), most)


def shown(text: str) -> str:
    """Return a text of several lines in which nothing but its line feeds and tabs controls a terminal."""
    lines = without_credentials(text).replace("\r\n", "\n").split("\n")
    return "\n".join(_cut("\t".join("".join(map(_character, part)) for part in line.split("\t"))) for line in lines)


def _cut(line: str, most: int = LONGEST_LINE) -> str:
    return line if len(line) <= most else f"{line[:most]}… ({len(line) - most} characters more)"


def without_credentials(text: str) -> str:
    """Return a text whose URLs have no user names and passwords."""
    return _CREDENTIALS.sub(r"\1", text)


def is_plain(text: str) -> bool:
    """Return whether a text can be shown as it is, on one line."""
    return not any(unicodedata.category(character) in _NOT_SHOWN for character in text)


def _character(character: str) -> str:
    if unicodedata.category(character) not in _NOT_SHOWN:
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
