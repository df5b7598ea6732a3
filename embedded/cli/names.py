"""Names as the command line spells them."""

from __future__ import annotations

import re

# A word begins at a capital after a small letter, at each change between letters and digits, and before the last
# capital of an acronym: the rule of the library that Dagger's command line uses (`arm64Image` -> `arm-64-image`).
_WORD_START = re.compile(
    r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Z])(?=[0-9])|(?<=[A-Z])(?=[A-Z][a-z])",
)
_SEPARATOR = re.compile(r"[ _.]")


def kebab(name: str) -> str:
    """Spell an API name as a command or flag: `withExec` -> `with-exec`."""
    return _SEPARATOR.sub("-", _WORD_START.sub("-", name.strip())).lower()
