"""Where this project's own files are: next to the package, in a checkout and in a loaded module alike."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Folder that holds `ci/`, `variants/` and `pyproject.toml`.
TOP: Final = Path(__file__).resolve().parents[2]
