"""The recorded facts about the real imager."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def golden(version: str, name: str) -> Any:
    """Returns a record of a version."""
    return json.loads((GOLDEN / version / f"{name}.json").read_text())
