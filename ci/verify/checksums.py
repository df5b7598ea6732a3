"""`checksums.sha256`: lines of `sha256sum`, checked by `sha256sum -c` in its folder.

line = 64 lower-case hexadecimal digits, two spaces, path below the folder
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.common.errors import CozystackTalosError
from ci.common.filenames import CHECKSUMS, checksummed
from ci.inspect.source import open_file, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci.inspect.models import Inspection

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class ChecksumsError(CozystackTalosError):
    """A line of the list is not of the form above."""


def file_digests(inspection: Inspection, root: Path) -> dict[str, str]:
    """Return the digest of every file below the root by its path; the inspection has most of them already."""
    known = {node.name: node.sha256 for node in inspection.contents if node.sha256}
    digests: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = printable(path.relative_to(root).as_posix())
        if path.is_symlink() or not path.is_file():
            continue
        if name not in known:  # Inside an OCI layout, which is inspected as one.
            with open_file(path) as source:
                known[name] = source.sha256()
        digests[name] = known[name]
    return digests


def render_checksums(digests: Mapping[str, str]) -> str:
    """Return the list for these files, in the order of their paths."""
    return "".join(f"{digests[name]}  {name}\n" for name in checksummed(digests))


def parse_checksums(text: str) -> list[tuple[str, str]]:
    """Return path and digest of every line; one that `sha256sum -c` would not take is an error."""
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ChecksumsError(f"{CHECKSUMS}:{number}: {line[:80]!r} is no line of sha256sum")
        found.append((match[2], match[1]))
    return found
