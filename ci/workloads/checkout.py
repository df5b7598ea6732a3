"""The texts of a CozyStack checkout that say what its packages run.

Packages are charts at `packages/{core,system,apps,extra}/NAME`; libraries, which some of them link to, are below
`packages/library`. Links are followed within the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ci.common.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Where packages are, in the order in which they are shown.
GROUPS: Final = ("core", "system", "apps", "extra")
#: What is read of a checkout, as patterns for a folder that leaves out all else.
TOPS: Final = ("packages", "internal/fluxinstall")
#: Folders that say nothing of what runs.
PASSED_OVER: Final = frozenset(
    {
        ".git",
        "tests",
        "test",
        "logos",
        "dashboards",
        "crds",
        "examples",
        "example",
        "hack",
        "docs",
        "ci",
        "alerts",
        "node_modules",
    }
)
_ENDINGS: Final = (".yaml", ".yml", ".tpl", ".tag", ".json", ".txt", ".toml", ".conf", ".cue")
_NAMED: Final = ("Dockerfile", "Makefile")
#: Bytes of a file that is read; CustomResourceDefinitions are the largest, with three million.
_LARGEST: Final = 8 << 20
_MOST: Final = 50_000


def read_checkout(root: Path, called: str = "--upstream") -> dict[str, str]:
    """Return path → text of the files in a checkout that say what runs.

    Raises `UpstreamError` for a folder without packages, and for one that has more files than any checkout.
    """
    top = root.resolve()
    if not (top / "packages").is_dir():
        raise UpstreamError(called, None, "no packages: a CozyStack checkout (v0.38 or later) has them in packages/")
    files: dict[str, str] = {}
    for path, name in _walk(top, top / "packages", "packages", ()):
        if len(files) >= _MOST:
            raise UpstreamError(called, None, f"more than {_MOST} files: this is no CozyStack checkout")
        if path.stat().st_size <= _LARGEST:
            files[name] = path.read_bytes().decode("utf-8", "replace")
    return files


def _walk(top: Path, folder: Path, name: str, above: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        inner = f"{name}/{entry.name}"
        path = Path(entry.path)
        if entry.is_symlink():
            path = Path(os.path.realpath(path))
            if not path.is_relative_to(top) or not path.exists():
                continue
        if path.is_dir():
            if entry.name not in PASSED_OVER:
                yield from _walk(top, path, inner, (*above, real))
        elif path.is_file() and _wanted(entry.name):
            yield path, inner


def _wanted(name: str) -> bool:
    return name.endswith(_ENDINGS) or name.startswith(_NAMED)


def packages_in(files: Mapping[str, str]) -> list[str]:
    """Return the packages' folders, such as `system/cilium`, in the order in which they are shown."""
    found: dict[str, set[str]] = {group: set() for group in GROUPS}
    for path in files:
        parts = path.split("/")
        if len(parts) == 4 and parts[1] in found and parts[3] == "Chart.yaml":
            found[parts[1]].add(parts[2])
    return [f"{group}/{name}" for group in GROUPS for name in sorted(found[group])]
