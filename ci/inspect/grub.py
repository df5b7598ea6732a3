r"""GRUB's menu (`grub.cfg`): which kernel each entry starts, and with which arguments.

Of GRUB's language as much is read as menus need: words, quotes, `\\`, `menuentry TITLE { … }`, `linux` and `initrd`.
Variables and conditions stay as they are written. GRUB's manual, section "Shell-like scripting".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ci.inspect.models import MenuEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "grub.cfg"
_KERNEL: Final = frozenset({"linux", "linux16", "linuxefi"})
_INITRD: Final = frozenset({"initrd", "initrd16", "initrdefi"})

#: More entries than any menu has.
_MOST_ENTRIES: Final = 1000

#: A backslash in front of any character, a quoted text, what separates commands, a comment, a blank, any other text.
_TOKEN: Final = re.compile(
    r"""\\(?P<escaped>.)|'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<end>[\n;{}])|(?P<blank>[ \t\r]+)"""
    r"""|(?P<variable>\$\{[^}\n]{0,256}\})|(?P<plain>(?:[^\\'"\n;{} \t\r$]|\$(?!\{))+)|(?P<stray>.)""",
    re.DOTALL,
)


def is_menu(path: str) -> bool:
    """Return whether GRUB looks for its menu under such a name."""
    return path.rpartition("/")[2].lower() == _NAME


def menu_entries(text: str) -> tuple[MenuEntry, ...]:
    """Return the entries of a menu that start a kernel; none where the text is no menu."""
    if "menuentry" not in text:
        return ()
    entries: list[MenuEntry] = []
    title: str | None = None
    kernel: list[str] | None = None
    initrd: list[str] = []
    for words in _commands(text):
        name = words[0]
        if name in ("menuentry", "}"):
            if title is not None and kernel:
                entries.append(_entry(title, kernel, initrd))
                if len(entries) == _MOST_ENTRIES:
                    return tuple(entries)
            title, kernel, initrd = (words[1] if len(words) > 1 else "") if name == "menuentry" else None, None, []
        elif name in _KERNEL:
            kernel = words[1:]
        elif name in _INITRD:
            initrd += words[1:]
    if title is not None and kernel:
        entries.append(_entry(title, kernel, initrd))
    return tuple(entries)


def _entry(title: str, kernel: list[str], initrd: list[str]) -> MenuEntry:
    return MenuEntry(title=title, kernel=kernel[0], cmdline=" ".join(kernel[1:]), initrd=tuple(initrd))


def _commands(text: str) -> Iterator[list[str]]:  # noqa: C901 (one short case for each token)
    """Yield each command's words, and `}` by itself."""
    words: list[str] = []
    word: str | None = None
    in_comment = False
    for token in _TOKEN.finditer(text):
        kind, value = token.lastgroup, token[token.lastgroup or 0]
        if in_comment:
            in_comment = "\n" not in token[0]
            if in_comment:
                continue
            kind, value = "end", "\n"
        if kind in ("end", "blank"):
            if word is not None:
                words.append(word)
                word = None
            if kind == "end":
                if words:
                    yield words
                    words = []
                if value == "}":
                    yield [value]
        elif kind == "plain" and word is None and value.startswith("#"):
            in_comment = True
        elif kind == "escaped" and value == "\n":
            continue  # the line goes on
        elif kind == "double":
            word = (word or "") + re.sub(r"\\([\\\"$\n])", r"\1", value)
        else:
            word = (word or "") + value
    if word is not None:
        words.append(word)
    if words:
        yield words
