"""Documents and times in the one form that they are written in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def json_bytes(value: Any) -> bytes:
    """Return a document as one line of JSON, keys in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def timestamp(epoch: int) -> str:
    """Return seconds since 1970 as RFC 3339 writes them: `2026-11-23T04:18:53Z`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
