"""The top folder holds what the project is made of, and no file of a vendor that it does not use itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

TOP = Path(__file__).parents[2]

FILES = {
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
    *("pyproject.toml", "hatch_build.py", "dagger.json", "daggerw", ".gitignore", ".gitattributes"),
}
FOLDERS = {"ci", "variants", "tests", "docs", "deploy", "bench", "embedded", ".ci", ".github"}
#: Made by tools, next to what git knows.
CACHES = {"__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", ".venv", ".git", ".uv-cache"}


def top_folder() -> set[str]:
    """The names that git knows; in a copy without git, all but caches."""
    if (TOP / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", str(TOP), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
        return {path.partition("/")[0] for path in listed if path and (TOP / path).exists()}
    return {path.name for path in TOP.iterdir()} - CACHES


def test_the_top_folder_holds_nothing_else() -> None:
    assert top_folder() - FILES - FOLDERS == set()
    assert [name for name in FOLDERS if (TOP / name).is_file()] == []
