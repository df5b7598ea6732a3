"""Why a registry, a certificate or a disk failed: what engines and registries say → the cause and the way out.

One table for all that fails at the other end. The first row whose sign is in an answer counts, so the particular ones
come before the general ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Cause:
    """One row: how an answer shows it, and what to say."""

    name: str
    sign: re.Pattern[str]
    hint: str


def _row(name: str, sign: str, hint: str) -> Cause:
    return Cause(name, re.compile(sign, re.IGNORECASE), hint)


#: What the embedded engine adds to such an output.
_HINTED: Final = "daggerw --engine prune"
#: What it says where a host did not answer.
_LIMIT: Final = "COZYSTACK_TALOS_NETWORK_SECONDS"
_OTHER_LOGIN: Final = "give --registry, --registry-username and --registry-password"

CAUSES: Final = (
    _row(
        "rate limit",
        r"\b429\b|too ?many ?requests|rate ?limit",
        f"The registry refuses more requests for now: wait, log in ({_OTHER_LOGIN}), or let the engine use a mirror",
    ),
    _row(
        "login page",
        r"text/html|<!doctype html|<html\b|invalid character '<' looking for beginning of value",
        "A web page came instead of an answer: a proxy or a login portal is in the way, or the address is a web site's",
    ),
    _row(
        "plain http",
        r"server gave HTTP response to HTTPS client|does not look like a TLS handshake|wrong version number",
        "The registry speaks HTTP without TLS: say so in the engine's configuration (for publish: --plain-http)",
    ),
    _row(
        "certificate",
        r"x509:|certificate (?:verify failed|signed by unknown authority|has expired|is not valid)|unknown ca\b",
        "The registry's certificate is not trusted: add its CA to the system's CA bundle, or check the machine's clock",
    ),
    _row(
        "wrong blob",
        r"unexpected commit digest|digest mismatch|failed size validation|content digest .* does not match|"
        r"failed to verify|short read|wrong digest",
        "What came is not what its digest says: the registry or a mirror holds a damaged copy. Pull it anew there, or "
        "use another mirror",
    ),
    _row(
        "cut off",
        r"unexpected EOF|connection reset by peer|broken pipe|incomplete (?:read|message)",
        "The connection ended in the middle: call again; if it ends at the same place, the registry's copy is cut off",
    ),
    _row(
        "no entry",
        r"\b401\b|unauthorized|authentication required|\b403\b|forbidden|denied|insufficient_scope",
        f"The registry asks for a login, or for another one: {_OTHER_LOGIN}",
    ),
    _row(
        "file name",
        r"contains invalid UTF-8",
        "A file name in a folder that was given is not UTF-8: rename it (`LC_ALL=C find FOLDER -name '*[! -~]*'` lists "
        "names with bytes beyond ASCII)",
    ),
    _row(
        "full disk",
        r"no space left on device|disk quota exceeded",
        "The disk is full: free room there (`./daggerw --engine prune`, or `dagger core engine local-cache prune`)",
    ),
    _row(
        "no answer",
        r"i/o timeout|context deadline exceeded|TLS handshake timeout|did not answer|timed out",
        "There was no answer in time: check network, proxy and mirror, and call again",
    ),
    _row(
        "out of reach",
        r"no such host|name resolution|connection refused|network is unreachable|no route to host|dial tcp",
        "The host can't be reached: check its name, the network, the proxy, and the engine's mirrors",
    ),
)


def cause_of(answer: str) -> Cause | None:
    """Return why something failed, from what was answered; `None` where the table has no row for it."""
    return next((cause for cause in CAUSES if cause.sign.search(answer)), None)


def full_disk_of(output: str) -> str:
    """Return the hint for a command whose output speaks of a full disk and has none yet, else nothing."""
    cause = next(cause for cause in CAUSES if cause.name == "full disk")
    return cause.hint if cause.sign.search(output) and _HINTED not in output else ""


def with_hint(answer: str) -> str:
    """Return an answer with its cause's hint on a separate line."""
    cause = None if _LIMIT in answer else cause_of(answer)
    return f"{answer}\n{cause.hint}" if cause else answer
