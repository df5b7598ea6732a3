"""Image references: parsing, and what a part of one says.

reference  = repository [":" tag] ["@" digest]
repository = registry "/" path          the registry is always named: docker.io is not assumed
digest     = "sha256:" 64 lower-case hexadecimal digits
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ci.common.errors import ReferenceSyntaxError
from ci.common.values import Value

_HOST = r"(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9.-]+(?=:[0-9]))(?::[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<repository>{_HOST}(?:/{_COMPONENT})+)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[a-z0-9]+:[A-Za-z0-9]+))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """An image by repository, tag and digest; at least one of the last two is set."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return self.tagged + (f"@{self.digest}" if self.digest else "")

    @property
    def tagged(self) -> str:
        """The reference without its digest."""
        return self.repository + (f":{self.tag}" if self.tag else "")

    @property
    def name(self) -> str:
        """The last part of the repository: an extension image's name is the extension's."""
        return self.repository.rsplit("/", 1)[1]

    @property
    def namespace(self) -> str:
        """The repository without its last part."""
        return self.repository.rsplit("/", 1)[0]

    def with_digest(self, digest: str) -> Reference:
        """Return the same reference, pinned."""
        return replace(self, digest=check_digest(digest, of=self.tagged))


def is_digest(text: str) -> bool:
    """Say whether a text is a digest: `sha256:` and 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(digest: str, *, of: str) -> str:
    """Return `digest` if it is one; `of` says in the error what it should be the digest of."""
    if not is_digest(digest):
        raise ReferenceSyntaxError(f"{of}: bad digest {digest!r}: it is `sha256:` and 64 hexadecimal digits")
    return digest


def parse_reference(text: str) -> Reference:
    """Read a reference such as `ghcr.io/siderolabs/zfs:2.4.3-v1.13.6@sha256:…`.

    Raises `ReferenceSyntaxError` with the reason: no registry, neither tag nor digest, an invalid digest.
    """
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise ReferenceSyntaxError(
            f"bad image reference {text!r}: write REGISTRY/PATH:TAG@sha256:DIGEST, in lower case, "
            "for example ghcr.io/siderolabs/zfs:2.4.3-v1.13.6"
        )
    digest = match["digest"]
    if digest is not None:
        check_digest(digest, of=text.split("@", 1)[0])
    if digest is None and match["tag"] is None:
        raise ReferenceSyntaxError(f"bad image reference {text!r}: it has neither tag nor digest")
    return Reference(match["repository"], match["tag"], digest)


class PinnedImage(Value):
    """An image of which the digest is known."""

    #: With tag, without digest.
    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The reference to pull: tag and digest."""
        return f"{self.reference}@{self.digest}"


def as_image(reference: Reference) -> PinnedImage:
    """Return a pinned reference as an image."""
    assert reference.digest is not None
    return PinnedImage(reference=reference.tagged, digest=reference.digest)
