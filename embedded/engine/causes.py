"""Why an image or a repository could not be had, from BuildKit's text: one table of causes, each with its way out.

BuildKit reports what Go's HTTP client, containerd's resolver and its own solver wrote, mostly with an address in it.
What is shown to a person names the host, what is wrong with it, and what to do; BuildKit's own words follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HTTP = 'If that is meant to be, write [registry."{host}"] and below it http = true into {settings}.'
_AUTHORITY = (
    "Install the authority's certificate on this machine (package ca-certificates), name it in SSL_CERT_FILE, or write"
    ' [registry."{host}"] and below it ca = ["/its/file.pem"] into {settings}.'
)
_BETWEEN = "A proxy or a sign-in page may stand between: check HTTPS_PROXY and NO_PROXY, and that {host} is a registry."
_NETWORK = "Check the name, the network, and the proxy variables (HTTPS_PROXY, NO_PROXY)."
_AGAIN = "Try again; if it happens again, that registry, its mirror or a proxy on the way is at fault."


@dataclass(frozen=True)
class Cause:
    """A row of the table: a text that shows the cause, what it means, and the way out; `{host}` stands for the host."""

    pattern: str
    message: str
    hint: str
    unreachable: bool = False
    """Whether the host could not be reached at all, so that working without it is worth a word."""


@dataclass(frozen=True)
class Found:
    """What a text means."""

    message: str
    hint: str
    unreachable: bool


CAUSES = (
    Cause(
        # Go's text when a proxy does not open the way; a registry's own refusal has a number
        r'": (Forbidden|Bad Gateway|Proxy Authentication Required|Service Unavailable|Gateway Timeout)\b',
        "the registry {host} can't be reached: the proxy refuses the way there",
        _NETWORK,
        unreachable=True,
    ),
    Cause(
        r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake",
        "{host} does not speak TLS: it answers in plain HTTP",
        _HTTP,
    ),
    Cause(
        r"HTTP request to an HTTPS server|malformed HTTP response|transport connection broken",
        "{host} speaks TLS, and was asked in plain HTTP",
        'Take http = true out of [registry."{host}"] in {settings}.',
    ),
    Cause(
        r"x509: certificate signed by unknown authority|certificate verify failed|x509: .*self.signed",
        "the certificate of {host} is from an authority that is not trusted here",
        _AUTHORITY,
    ),
    Cause(
        r"x509: certificate (has expired|is not valid for any names)|x509: certificate is valid for|x509:|tls: ",
        "the certificate of {host} is not valid",
        "Check the name and this machine's clock; else it is for that registry's owner to mend.",
    ),
    Cause(
        r"429|[Tt]oo ?[Mm]any ?[Rr]equests|TOOMANYREQUESTS",
        "{host} limits how often it is asked, and the limit is reached",
        "Log in (docker login {host}), use a mirror (mirrors = […] in {settings}), or wait.",
    ),
    Cause(
        r"text/html|invalid character '<'|<!DOCTYPE|<html",
        "{host} answers with a web page where an image is wanted",
        _BETWEEN,
    ),
    Cause(
        r"read past expected size",
        "{host} answers with something else than the image, as a sign-in page would be",
        _BETWEEN,
    ),
    Cause(
        r"\b403\b|403 Forbidden|\bdenied\b",
        "{host} refuses access (403 Forbidden)",
        "Check that the login may read this repository (docker login {host}); a proxy on the way may refuse, too.",
    ),
    Cause(
        r"\b401\b|[Uu]nauthorized|insufficient_scope|authorization failed|no basic auth credentials",
        "{host} wants a login, or has no such repository",
        "Log in: docker login {host}, or the function's arguments for it.",
    ),
    Cause(
        r"(failed|unexpected).*(digest|checksum|commit size|size validation)|digest mismatch|failed size validation"
        r"|unexpected media type|invalid (tar )?header|gzip: invalid|invalid checksum|cannot unmarshal"
        r"|invalid character|unexpected end of JSON",
        "what {host} delivered is not the image that was asked for: it is damaged, or another one",
        _AGAIN,
    ),
    Cause(
        r"unexpected EOF|\bEOF\b|connection reset|broken pipe|server closed|INTERNAL_ERROR|stream error",
        "{host} ended the connection in the middle of an answer",
        _AGAIN,
    ),
    Cause(
        r"\b50[0-4]\b|Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out",
        "{host} has trouble of its own",
        _AGAIN,
    ),
    Cause(
        r"no such host|server misbehaving|Temporary failure in name resolution|lookup .* on ",
        "the registry {host} can't be reached: its name is not known",
        _NETWORK,
        unreachable=True,
    ),
    Cause(
        r"dial tcp|connection refused|network is unreachable|no route to host|i/o timeout|TLS handshake timeout"
        r"|deadline exceeded|proxyconnect",
        "the registry {host} can't be reached",
        _NETWORK,
        unreachable=True,
    ),
)
"""The first row that fits counts."""

_ADDRESS = re.compile(r'https?://([^/\s"\']+)')


def found(text: str, host: str, settings: str) -> Found | None:
    """Return what a text of BuildKit's means, None where the table has no row for it.

    Args:
        text: BuildKit's error.
        host: the registry that was asked; empty where only the text names one.
        settings: the file for the engine's own settings, for the hints.
    """
    named = _ADDRESS.search(text)
    asked = host or (named[1] if named else "")
    for cause in CAUSES:
        if asked and re.search(cause.pattern, text):
            words = {"host": asked, "settings": settings}
            return Found(cause.message.format(**words), cause.hint.format(**words), cause.unreachable)
    return None
