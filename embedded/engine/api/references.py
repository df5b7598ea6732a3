"""Image references, as the distribution specification writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from embedded.engine.errors import EngineError

# [registry/]repository[:tag][@digest]; a first part is a registry when it has a dot, a port, or is localhost
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A reference with nothing left out: `docker.io/library/debian:latest`."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}"
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Complete a reference as Docker does: `debian` is `docker.io/library/debian:latest`."""
    rest, _, digest = text.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    first, slash, repository = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, repository = "docker.io", name
    if first == "docker.io" and "/" not in repository:
        repository = "library/" + repository

    def refuse(reason: str) -> EngineError:
        return EngineError(
            f"invalid image reference {text!r}: {reason}", "It looks like: registry/repository:tag or …@sha256:DIGEST"
        )

    if not _REPOSITORY.fullmatch(repository):
        raise refuse(f"the repository name {repository!r} must be lowercase letters, digits and . _ - between them")
    if tag and not _TAG.fullmatch(tag):
        raise refuse(f"the tag {tag!r} has a character that tags can't have")
    if digest and not _DIGEST.fullmatch(digest):
        raise refuse(f"the digest {digest!r} is not sha256: and 64 hexadecimal digits")
    return Reference(first, repository, tag or ("" if digest else "latest"), digest)
