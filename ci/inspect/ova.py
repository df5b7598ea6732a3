"""The disk in an OVA: a tar of a virtual machine's description, a manifest with checksums, and a VMDK.

Format: DMTF's DSP0243, "Open Virtualization Format Specification" 1.1.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from ci.inspect.errors import CorruptFileError, LimitExceededError, MissingFileError, UnsupportedFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.inspect.context import Context
    from ci.inspect.source import Source

#: The description is not parsed as XML: nothing else of it matters here, and nothing in it can be expanded.
_REFERENCE: Final = re.compile(rb"<(?:[\w.-]{1,40}:)?File\s([^<>]{1,4096})>")
_HREF: Final = re.compile(rb"""(?:^|\s)(?:[\w.-]{1,40}:)?href\s*=\s*["']([^"']{1,1024})["']""")
_LINE: Final = re.compile(r"(SHA1|SHA256|SHA512)\s*\((.{1,1024})\)\s*=\s*([0-9a-fA-F]+)")


def description_of(files: Mapping[str, Source]) -> str | None:
    """Return the name of the description in a tar's files, `None` where it is no OVA."""
    return next((name for name in files if name.lower().endswith(".ovf")), None)


def ova_disk(source: Source, files: Mapping[str, Source], context: Context) -> Source:
    """Return the one disk that the description names; its manifest must be true, where there is one.

    Raises where the description names no disk or several: then nothing says what boots.
    """
    description = description_of(files)
    assert description is not None
    text = _text(files[description], context)
    references = [_HREF.search(found[1]) for found in _REFERENCE.finditer(text)]
    names = [found[1].decode("utf-8", "replace") for found in references if found]
    disks = [name for name in names if not name.lower().endswith((".iso", ".nvram"))]
    if len(disks) != 1:
        raise UnsupportedFileError(source.name, description, f"it names {len(disks)} disks, and one is read")
    for name in names:
        if name not in files:
            raise MissingFileError(source.name, description, f"it names {name!r}, which is not in the archive")
    _check_manifest(source, description, files, context)
    return files[disks[0]]


def _text(source: Source, context: Context) -> bytes:
    if source.size > context.limits.text:
        raise LimitExceededError(source.name, "", f"a text of {source.size} bytes (limit {context.limits.text})")
    return source.read_up_to(0, source.size)


def _check_manifest(source: Source, description: str, files: Mapping[str, Source], context: Context) -> None:
    name = description[: -len(".ovf")] + ".mf"
    if name not in files:
        return
    for line in _text(files[name], context).decode("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line.strip())
        if not found:
            if line.strip():
                raise CorruptFileError(source.name, name, f"no checksum in the line {line.strip()[:80]!r}")
            continue
        algorithm, member, digest = found.groups()
        if member not in files:
            raise MissingFileError(source.name, name, f"it names {member!r}, which is not in the archive")
        if _digest(files[member], algorithm) != digest.lower():
            raise CorruptFileError(source.name, name, f"the {algorithm} of {member!r} is another one")


def _digest(source: Source, algorithm: str) -> str:
    if algorithm == "SHA256":
        return source.sha256()
    digest = hashlib.new(algorithm.lower(), usedforsecurity=False)
    for chunk in source.chunks():
        digest.update(chunk)
    return digest.hexdigest()
