"""The gate for text from outside that a person is shown: logs, errors, names, what registries and git report.

A terminal obeys control characters, and a line break or a bidirectional override can forge a line. Here they become the
escapes by which a programmer knows them (a backslash and `x1b`, `n`, `u202e`), and endless lines are cut. Passwords in
URLs are left out.
"""

from __future__ import annotations

import re
import unicodedata

LINE_LIMIT = 2000
"""Characters of one line that are shown."""

_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what a terminal does not draw: controls, formats, half surrogates, separators of lines."""
_NOT_PLAIN = re.compile(r"[^ -~]")
_NOT_PLAIN_OR_TAB = re.compile(r"[^ -~\t]")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# scheme://user:password@host and scheme://token@host; ssh's own user names are no secrets
# A password that is not escaped as it should be may hold / ? and #, but what begins with a port and a slash is none.
# Bounded, so that a hostile text costs by its length only.
_USER_INFO = re.compile(
    r"""(?i)\b([a-z][a-z0-9+.-]{0,30}://)([^\s/?#'"<>@:\[]*:(?!\d*[/?#])[^\s'"<>]{0,200}|[^\s/?#'"<>]*)@"""
)
_NO_SECRET = {"git", ""}


def shown(text: str, limit: int = LINE_LIMIT) -> str:
    """Return a text as one line that is safe to show: `limit` characters of it, and how many are left out."""
    return _line(text, limit, _NOT_PLAIN)


def shown_lines(text: str, limit: int = LINE_LIMIT) -> str:
    """Return a text of several lines with each of them safe to show; tabs stay too."""
    return "\n".join(_line(line, limit, _NOT_PLAIN_OR_TAB) for line in text.replace("\r\n", "\n").split("\n"))


def _line(text: str, limit: int, not_plain: re.Pattern[str]) -> str:
    # Before anything is cut: half an address would not be known as one.
    text = without_passwords(_COLOUR.sub("", text))
    rest = f"… ({len(text) - limit} more characters)" if len(text) > limit else ""
    return not_plain.sub(_escaped, text[:limit]) + rest


def without_passwords(text: str) -> str:
    """Return a text with `***` for the password, or the token, of each URL in it."""
    return _USER_INFO.sub(_hidden, text) if "@" in text else text


def _hidden(found: re.Match[str]) -> str:
    scheme, (user, colon, _) = found[1], found[2].partition(":")
    if colon and "@" not in user:
        return f"{scheme}{user}:***@"
    return found[0] if user in _NO_SECRET or scheme.lower().startswith("ssh") else f"{scheme}***@"


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _ESCAPED:
        return character
    if character in _NAMED:
        return _NAMED[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
