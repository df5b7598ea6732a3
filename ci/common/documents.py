"""Documents as JSON and YAML: what is in them may come from anywhere, and nothing of it controls a terminal."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from ci.common.text import is_plain

#: Columns that a document's lines are broken at, as far as YAML breaks them.
_WIDTH: Final = 120

#: Beyond ASCII, which JSON escapes by itself as far as it is not printed.
_BEYOND: Final = re.compile(r"[^\x00-\x7e]")


def json_text(document: Any) -> str:
    """Return a document as JSON, characters that are not printed written as escapes."""
    return _BEYOND.sub(_escape, json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def yaml_text(document: Any, width: int = _WIDTH) -> str:
    """Return a document as YAML; where a character in it is not printed, all beyond ASCII are escapes."""
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=width)
    if all(map(is_plain, text.split("\n"))):
        return text
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=width)


def _escape(found: re.Match[str]) -> str:
    return found[0] if is_plain(found[0]) else json.dumps(found[0])[1:-1]
