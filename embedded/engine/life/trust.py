"""Certificate authorities that the host trusts beyond those that every distribution ships."""

from __future__ import annotations

import os
from pathlib import Path

OWN_CERTIFICATES = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
)
"""Folders in which an administrator puts authorities: Debian's, Fedora's, Arch's."""
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Bundles in which a system collects what it trusts; the first that exists is the one."""


def ca_bundle(root: Path = Path("/")) -> Path | None:
    """Return the PEM bundle that commands in containers should trust, or None when their image's own will do.

    That is the file in SSL_CERT_FILE if it exists; else the system's bundle if an administrator has added to it.
    """
    named = os.environ.get("SSL_CERT_FILE", "")
    if named and Path(named).is_file():
        return Path(named)
    for folder in OWN_CERTIFICATES:
        if any(path.suffix in {".crt", ".pem", ".cer"} for path in (root / folder.lstrip("/")).rglob("*")):
            return next((path for name in BUNDLES if (path := root / name.lstrip("/")).is_file()), None)
    return None
