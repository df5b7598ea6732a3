"""`validation/signatures.json`: whose signature was found on which input, before anything was built from it.

A JSON object: reference with digest → signer, in words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


def render_signatures(signers: Mapping[str, str]) -> str:
    """Return the file's text."""
    return json.dumps(dict(sorted(signers.items())), indent=2) + "\n"


def read_signatures(text: str | None) -> dict[str, str]:
    """Return signers by reference with digest; a text that is no such file says nothing."""
    try:
        document: Any = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    found = cast("dict[str, Any]", document)
    return {pinned: signer for pinned, signer in found.items() if isinstance(signer, str)}
